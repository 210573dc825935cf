/* Runs a program under a seccomp filter that asks about each call by which files are found, and a listener that lets
 * each go on and looks at nothing (seccomp_unotify(2)): what no such listener can do without. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

/* Linux 6.6 */
#define SET_FLAGS SECCOMP_IOW(4, __u64)
#define SYNC_WAKE_UP 1UL

#define LOAD(field) {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, field)}
#define ASK_IF(number) {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number}, ASK
#define ASK {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF}
#define ALLOW {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}

static struct sock_filter code[] = {
    LOAD(nr),
    ASK_IF(SYS_openat), ASK_IF(SYS_execve), ASK_IF(SYS_faccessat), ASK_IF(SYS_readlinkat), ASK_IF(SYS_statx),
#ifdef SYS_open
    ASK_IF(SYS_open), ASK_IF(SYS_access), ASK_IF(SYS_readlink), ASK_IF(SYS_stat), ASK_IF(SYS_lstat),
#endif
    /* An open file by an empty path is none that is looked for. */
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_newfstatat}, ALLOW,
    LOAD(args[3]), {BPF_JMP | BPF_JSET | BPF_K, 0, 1, AT_EMPTY_PATH}, ALLOW, ASK,
};

static void listen_to(int listener) {
    struct seccomp_notif call;
    struct seccomp_notif_resp answer = {0};
    ioctl(listener, SET_FLAGS, SYNC_WAKE_UP);
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    while (memset(&call, 0, sizeof call), !ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
        answer.id = call.id;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

/* Sends or receives one descriptor (unix(7)). */
static int hand(int socket, int descriptor) {
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (descriptor < 0) {
        if (recvmsg(socket, &message, 0) != 1) return -1;
        memcpy(&descriptor, CMSG_DATA(rights), sizeof(int));
        return descriptor;
    }
    *rights = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
    return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

int main(int argc, char **argv) {
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    unsigned long flags =
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return 125;
    switch (fork()) {
    case -1:
        return 125;
    case 0:
        close(ends[0]);
        listen_to(hand(ends[1], -1));
        return 0;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 125;
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0 || hand(ends[0], listener)) return 125;
    close(listener);
    execvp(argv[1], argv + 1);
    return 127;
}
