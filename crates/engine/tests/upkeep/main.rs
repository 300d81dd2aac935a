//! What is done to a log while no broker has it, on simulated disks: compared with what was written,
//! with every bit of a small log flipped, and killed at every step.

mod broker;
mod compact;
mod examine;
mod import;
mod repair;
mod world;
