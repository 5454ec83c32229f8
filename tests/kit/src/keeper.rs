//! Starts servers so that they end with this process, however it ends.
//!
//! The kernel can kill a child when its parent dies, but takes for the parent the *thread* that
//! started it. A test's thread ends with its test, so one thread that never ends starts them all.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

type Order = (Command, Sender<io::Result<Child>>);

static KEEPER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, taken) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in taken {
            // Who no longer waits for the child has no use for it either.
            if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                let _ = child.kill().and_then(|()| child.wait());
            }
        }
    });
    orders
});

/// A command for this program that, once started with [`spawn`], is killed when this process ends.
pub(crate) fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    // Ctrl-C is for us alone: what still needs the server then must not find it gone.
    command.process_group(0).args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts the command from the thread that outlives all others.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, child) = mpsc::channel();
    KEEPER.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
