//! At a terminal, learn is not noticed: every script here must go the same way with and without it (issue 2).

use rexpect::session::PtyReplSession;

use crate::support::{LEARN, fixture, fresh, require};

const TIMEOUT_MS: u64 = 60_000;

/// Plays `script` at the prompt of a shell with job control, first with the fixture's command alone, then under learn.
fn at_terminal(what: &str, script: impl Fn(&mut PtyReplSession, &str) -> Result<(), rexpect::error::Error>) {
    if !require(&["ptrace", "bash"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let command = format!("{} terminal {what}", fixture().display());
    let learned = format!("{LEARN} --quiet -o {} -- {command}", folder.display());
    for command in [command, learned] {
        let mut shell = rexpect::spawn_bash(Some(TIMEOUT_MS)).unwrap();
        script(&mut shell, &command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    assert!(folder.join("learned.json").exists());
}

/// Waits for the prompt and asks how the last command ended.
fn expect_status(shell: &mut PtyReplSession, status: i32) -> Result<(), rexpect::error::Error> {
    shell.wait_for_prompt()?;
    shell.send_line("echo status=$?.")?;
    shell.exp_string(&format!("status={status}."))?;
    shell.wait_for_prompt()?;
    Ok(())
}

#[test]
fn the_workload_is_in_the_foreground() {
    at_terminal("foreground", |shell, command| {
        shell.send_line(command)?;
        shell.exp_regex("\nin the foreground")?;
        expect_status(shell, 0)
    });
}

#[test]
fn control_c_ends_the_workload() {
    at_terminal("echo", |shell, command| {
        shell.send_line(command)?;
        shell.exp_string("ready")?;
        shell.send_control('c')?;
        expect_status(shell, 128 + libc::SIGINT)
    });
}

#[test]
fn control_backslash_ends_the_workload() {
    at_terminal("echo", |shell, command| {
        shell.execute("ulimit -c 0", "")?;
        shell.wait_for_prompt()?;
        shell.send_line(command)?;
        shell.exp_string("ready")?;
        shell.send_control('\\')?;
        expect_status(shell, 128 + libc::SIGQUIT)
    });
}

/// The terminal sends SIGINT to learn as well, which must not pass it on a second time.
#[test]
fn control_c_comes_once() {
    at_terminal("count", |shell, command| {
        shell.send_line(command)?;
        shell.exp_string("ready")?;
        shell.send_control('c')?;
        shell.exp_string("interrupted")?;
        shell.send_line("end")?;
        shell.exp_string("interrupted 1 times")?;
        expect_status(shell, 0)
    });
}

#[test]
fn control_z_and_fg() {
    at_terminal("echo", |shell, command| {
        shell.send_line(command)?;
        shell.exp_string("ready")?;
        for word in ["one", "two"] {
            shell.send_line(word)?;
            shell.exp_string(&format!("heard {word}"))?;
            shell.send_control('z')?;
            shell.exp_string("Stopped")?;
            shell.wait_for_prompt()?;
            shell.send_line("jobs")?;
            shell.exp_string("Stopped")?;
            shell.wait_for_prompt()?;
            shell.send_line("fg")?;
            shell.exp_string("terminal echo")?;
        }
        shell.send_line("end")?;
        expect_status(shell, 0)
    });
}

#[test]
fn control_z_and_kill() {
    at_terminal("echo", |shell, command| {
        shell.send_line(command)?;
        shell.exp_string("ready")?;
        shell.send_control('z')?;
        shell.exp_string("Stopped")?;
        shell.wait_for_prompt()?;
        shell.send_line("kill %1; wait %1")?;
        expect_status(shell, 128 + libc::SIGTERM)
    });
}

/// In the background, reading from the terminal stops the job until it is brought back.
#[test]
fn a_background_job_stops_at_its_first_read() {
    at_terminal("echo", |shell, command| {
        shell.send_line(&format!("{command} &"))?;
        shell.exp_string("ready")?;
        // The shell tells of the stopped job before its next prompt.
        shell.send_line("until jobs %1 | grep Stopped; do :; done")?;
        shell.exp_string("Stopped")?;
        shell.wait_for_prompt()?;
        shell.send_line("fg")?;
        shell.send_line("back")?;
        shell.exp_string("heard back")?;
        shell.send_line("end")?;
        expect_status(shell, 0)
    });
}
