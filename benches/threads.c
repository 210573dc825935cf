/* Eight threads that make the same three calls as often as the last argument says. */
#include <pthread.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>

static long n;

static void *work(void *unused) {
    int word = 0, fd = open("/dev/zero", O_RDONLY);
    char byte;
    for (long i = 0; i < n; i++) {
        syscall(SYS_getpid);
        syscall(SYS_futex, &word, 1, 1, 0, 0, 0);
        if (read(fd, &byte, 1) != 1) abort();
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[8];
    n = atol(argv[argc - 1]);
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, work, 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
}
