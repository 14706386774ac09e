//! The binary as its users run it.

mod files;
mod lab_life;
mod run;
mod story;
