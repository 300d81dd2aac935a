// What happens to Redis, or on the way to it.

import { SentinelRedis, ShardedRedis, SingleRedis } from '../cast/redis.mjs';
import { cableOut, overflowing, torn, troubled } from './lines.mjs';

const single = { store: () => new SingleRedis(), expect: 'durability' };

const restarted = (signal) => async (stage) => {
  const { server } = stage.store;
  await server.end(signal);
  await stage.calm(3000);
  stage.fault('Redis is back');
  await server.launch();
  await stage.calm(3000);
};

const emptied = async (stage) => {
  const { server } = stage.store;
  await server.end('SIGKILL');
  await server.forget();
  await stage.calm(2000);
  stage.fault('Redis is back, and empty');
  stage.forgot();
  await server.launch();
  await stage.calm(3000);
};

const frozen = async (stage) => {
  const { server } = stage.store;
  stage.fault('SIGSTOP of Redis');
  server.freeze();
  await stage.calm(3000);
  server.thaw();
  await stage.calm(3000);
};

/** The primary dies; with `isLagging` the last second of what it acknowledged has not reached the replica. */
const failedOver = (isLagging) => async (stage) => {
  const { store } = stage;
  if (isLagging) {
    await store.shutReplicaOut();
    await stage.calm(1000);
  }
  stage.fault('the primary dies');
  const { primary } = store;
  await primary.end('SIGKILL');
  await store.promoted();
  stage.forgot();
  await stage.calm(3000);
  // What was the primary comes back, and takes itself for it until Sentinel has seen it.
  await primary.launch();
  await store.followed();
  await stage.calm(1000);
};

/** The primary sleeps for as long as another takes over, and wakes up as if it were still the one. */
const replaced = async (stage) => {
  const { store } = stage;
  const { primary } = store;
  stage.fault('SIGSTOP of the primary');
  primary.freeze();
  await store.promoted();
  stage.forgot();
  await stage.calm(1000);
  primary.thaw();
  await store.followed();
  await stage.calm(1000);
};

const shardFailedOver = async (stage) => {
  const { primary, promoted } = await stage.store.shard();
  stage.fault('the primary of a shard dies');
  await primary.end('SIGKILL');
  await promoted();
  stage.forgot();
  await stage.calm(3000);
  await primary.launch();
  await stage.calm(4000);
};

export const REDIS_SCENARIOS = [
  {
    ...single,
    name: 'redis-killed',
    title: 'Redis: killed, back after 3 s from its log',
    covers: ['R4'],
    isQuick: true,
    act: restarted('SIGKILL'),
  },
  {
    ...single,
    name: 'redis-stopped',
    title: 'Redis: stopped, back after 3 s',
    covers: ['R4'],
    act: restarted('SIGTERM'),
  },
  {
    ...single,
    name: 'redis-emptied',
    title: 'Redis: killed, back with nothing',
    covers: ['R5'],
    isQuick: true,
    act: emptied,
    expect: 'announcement',
  },
  {
    ...single,
    name: 'redis-frozen',
    title: 'Redis: frozen for 3 s',
    covers: ['R7'],
    isQuick: true,
    act: frozen,
  },
  {
    ...single,
    name: 'redis-overflow',
    title: "Redis: a node's subscriptions cut off, as it read too slowly",
    covers: ['R7'],
    store: () => new SingleRedis(['--client-output-buffer-limit', 'pubsub', '256kb', '128kb', '1']),
    isLined: true,
    act: overflowing(8000),
  },
  {
    ...single,
    name: 'redis-line-torn',
    title: "Redis: a node's line reset, refused, half open",
    covers: ['R2', 'R4'],
    isLined: true,
    act: torn(9),
  },
  {
    ...single,
    name: 'redis-line-troubled',
    title: 'Redis: slow, lossy, narrow lines, single bytes',
    isLined: true,
    act: troubled(5000),
  },
  {
    ...single,
    name: 'redis-cable',
    title: "Redis: a node's cable out for 10 s",
    covers: ['R4'],
    isNetworked: true,
    act: cableOut(10_000),
  },
  {
    ...single,
    name: 'redis-cable-long',
    title: "Redis: a node's cable out for 60 s",
    covers: ['R4'],
    isNetworked: true,
    act: cableOut(60_000),
  },
  {
    name: 'sentinel-failover',
    title: 'Sentinel: the primary dies',
    covers: ['R6'],
    isQuick: true,
    store: () => new SentinelRedis({}),
    act: failedOver(false),
    expect: 'announcement',
  },
  {
    name: 'sentinel-failover-lagging',
    title: 'Sentinel: the primary dies, its replica 1 s behind',
    covers: ['R6'],
    store: () => new SentinelRedis({}),
    act: failedOver(true),
    expect: 'announcement',
  },
  {
    name: 'sentinel-failover-lagging-wait',
    title: 'Sentinel: the same with `wait_replicas = 1`',
    covers: ['R6'],
    store: () => new SentinelRedis({ waitReplicas: 1 }),
    act: failedOver(true),
    expect: 'delivery',
  },
  {
    name: 'sentinel-replaced',
    title: 'Sentinel: the primary frozen, replaced, and back',
    covers: ['R6'],
    store: () => new SentinelRedis({}),
    act: replaced,
    expect: 'announcement',
  },
  {
    name: 'shard-failover',
    title: 'Redis Cluster: the primary of a shard dies',
    covers: ['R6'],
    store: () => new ShardedRedis(),
    act: shardFailedOver,
    expect: 'announcement',
  },
];
