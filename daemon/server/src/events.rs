//! The kinds of events that operators may want to be told of: each has an id, by which the journal finds it
//! (`journalctl MESSAGE_ID=...`) and explains it (`journalctl -x`, from the catalog that is installed with us).

/// This master leads.
pub const ACTING: &str = "91658ff00dc7a5051faeea39439bfca4";
/// This master took the lease.
pub const ELECTED: &str = "8608dd58882afe01884fed0bf7deec07";
/// This master follows.
pub const STANDBY: &str = "572eee991d9ad685e63aa19d7c750822";
/// This master gives the lease back.
pub const RELEASED: &str = "6fc3b844007ab874d18b87b37460a1d1";
/// This master holds the lease and does not act, since a renewal was not acknowledged in time.
pub const SUSPENDED: &str = "ac9e524da1964675e5d8f3197c6cd7fc";
/// The lease was taken from a living master.
pub const FALSE_TAKEOVER: &str = "d6cbc0337597afa713d6f2f696b8c968";
/// This master resigned, since something in it hangs.
pub const RESIGNED: &str = "dbc79b0dbdf682aab91fbe015025a352";
/// The database or the configuration keep this master from standing.
pub const UNFIT: &str = "d1d7b243dade31f32f4c42f4846ecd67";
/// The database does not answer.
pub const DATABASE_SILENT: &str = "232f58fb2e36f066fdff7f794e733156";
/// The database answers again.
pub const DATABASE_ANSWERS: &str = "25b1ef19ad49e567518390c9fc4672c5";
/// A master was lost.
pub const MASTER_LOST: &str = "334dca1d4940b61ceab42b21b0621028";
/// This master was drained.
pub const DRAINED: &str = "9adc5d9e82cbdf1e13018b7e2d72eba0";
/// A master of the original writes to the database.
pub const ORIGINAL_RUNS: &str = "f1030595a02976c0a86874a0126c641f";

/// A certificate ends soon.
pub const CERTIFICATE_EXPIRES: &str = "4d0c4fd0b2f84f1e9c27b6d1d0a7c35e";

/// All of them.
pub const ALL: [&str; 14] = [
    ACTING,
    ELECTED,
    STANDBY,
    RELEASED,
    SUSPENDED,
    FALSE_TAKEOVER,
    RESIGNED,
    UNFIT,
    DATABASE_SILENT,
    DATABASE_ANSWERS,
    MASTER_LOST,
    DRAINED,
    ORIGINAL_RUNS,
    CERTIFICATE_EXPIRES,
];
