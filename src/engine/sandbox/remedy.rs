//! Why walls could not be built on this machine, and what helps.
//! In: what the kernel refused. Out: a clause and the next act. Never: a way to go on with fewer walls.

use crate::event::FailureClass;
use crate::plan::sandbox::Sandbox;
use crate::sys::file;
use crate::sys::sandbox::Broken;

use super::Why;

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;

/// The words for what broke.
pub(super) fn of(broken: &Broken, mode: Sandbox) -> Why {
    let reason = format!("the sandbox `{}` cannot be made here: could not {}: {}", mode.word(), broken.act, broken.cause);
    (FailureClass::Environment, reason, Some(help(broken, &setting)))
}

/// A setting of the kernel.
fn setting(name: &str) -> Option<String> {
    let bytes = file::read(format!("/proc/sys/{name}"), 256).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn help(broken: &Broken, setting: &dyn Fn(&str) -> Option<String>) -> String {
    let is = |name: &str, value: &str| setting(name).as_deref() == Some(value);
    let refused = matches!(broken.errno, EPERM | EACCES | EINVAL | ENOSYS);
    let cause = if broken.act.contains("watch") {
        if is("kernel/yama/ptrace_scope", "3") {
            "this kernel lets nobody watch another program: `sysctl kernel.yama.ptrace_scope=1` and a restart change that"
        } else {
            "another program watches this one already (a debugger, `strace`), or a container forbids it: `docker run --cap-add SYS_PTRACE`"
        }
    } else if broken.errno == ENOSPC || is("user/max_user_namespaces", "0") {
        "there may be no more user namespaces: raise `sysctl user.max_user_namespaces`"
    } else if refused && is("kernel/unprivileged_userns_clone", "0") {
        "only root may make user namespaces here: `sysctl kernel.unprivileged_userns_clone=1` lets everybody"
    } else if refused && is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor takes the power out of user namespaces: `sysctl kernel.apparmor_restrict_unprivileged_userns=0` gives it back"
    } else if refused && broken.act.contains("/proc") {
        "a container hides parts of /proc: `docker run --security-opt systempaths=unconfined` shows them"
    } else if refused {
        "a container forbids user namespaces, most likely: `docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
    } else {
        "the kernel's words are all that is known"
    };
    format!("{cause}; without walls the task runs with `sandbox \"off\"`, and kiln never leaves them out by itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_remedy() {
        let broken = |act: &str, errno| Broken { act: act.to_owned(), cause: "no".to_owned(), errno };
        for (broken, name, value, expected) in [
            (broken("make a user namespace", ENOSPC), "", "", "user.max_user_namespaces"),
            (broken("make a user namespace", EPERM), "kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
            (broken("keep mounts private", EACCES), "kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor_restrict"),
            (broken("show the processes of the sandbox in /proc", EPERM), "", "", "systempaths=unconfined"),
            (broken("make a user namespace", EPERM), "", "", "seccomp=unconfined"),
            (broken("watch the command", EPERM), "kernel/yama/ptrace_scope", "3", "ptrace_scope=1"),
            (broken("watch the command", EPERM), "", "", "SYS_PTRACE"),
        ] {
            let help = help(&broken, &|asked| (asked == name).then(|| value.to_owned()));
            assert!(help.contains(expected) && help.contains("sandbox \"off\""), "{help}");
        }
    }
}
