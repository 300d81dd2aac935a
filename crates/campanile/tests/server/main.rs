//! The program under attack and in everyday trouble, seen from outside.
//!
//! Each test starts a server of its own, does something to it that must be answered in a documented
//! way, and then asks the same two questions: has a bystander noticed anything, and does the server
//! stop in good order? Where an attack could cost memory, a third: has it grown?

mod support;

mod commands;
mod compression;
mod data_directory;
mod deltas;
mod disk_trouble;
mod drain;
mod echo;
mod embedding;
mod emulation;
mod floods;
mod frames;
mod handlers;
mod handover;
mod handshake;
mod headers;
mod identity;
mod library;
mod library_end;
mod limits;
mod logging;
mod plain_sockets;
mod protobuf;
mod reload;
mod restart;
mod smuggling;
mod start;
mod stop;
mod stream_limits;
mod streams;
mod subscriptions;
mod tls;
mod together;
mod unidirectional;
