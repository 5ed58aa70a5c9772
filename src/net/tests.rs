//! The edge against real sockets, with deadlines of tenths of seconds.

mod deadlines;
mod requests;
