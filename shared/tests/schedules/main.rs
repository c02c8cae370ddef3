//! When schedules fire, from outside: on real dates, against a look at every minute, and around every
//! time change of every zone against a second implementation.

mod common;
mod dates;
mod errors;
mod missed;
mod naive;
mod transitions;
mod words;
