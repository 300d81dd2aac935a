//! Nodes that share a broker, over real servers that the tests start themselves: `redis-server` and
//! `redis-sentinel` have to be installed.

mod redis;
mod support;
