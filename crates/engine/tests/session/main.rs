//! Tables of what happens to a session and what must happen then, with time moved by hand.

mod connect;
mod deltas;
mod desk;
mod dispatch;
mod expiry;
mod headers;
mod joins;
mod manners;
mod orders;
mod plain_sockets;
mod queries;
mod recovery;
mod renewals;
mod spelling;
mod subscribe;
mod verdicts;
mod wishes;
