// What happens to nodes, whatever the store is.

import { SingleRedis } from '../cast/redis.mjs';
import { NatsServers } from '../cast/nats.mjs';

/** A node that dies without a word, several times, each time another one. */
const killed = (times, rest) => async (stage) => {
  const random = stage.random.fork('kills');
  for (let n = 0; n < times; n++) {
    const node = random.pick(stage.nodes);
    stage.fault(`kill -9 ${node.name}`);
    await node.end('SIGKILL');
    await stage.calm(random.between(200, rest));
    await node.launch();
    await stage.calm(random.between(800, rest));
  }
};

/** A node that does nothing for so long (ms), and then goes on as if nothing had been. */
const frozen = (ms) => async (stage) => {
  const node = stage.random.fork('frozen').pick(stage.nodes);
  stage.fault(`SIGSTOP ${node.name}`);
  node.signal('SIGSTOP');
  await stage.calm(ms);
  node.signal('SIGCONT');
  await stage.calm(3000);
};

/** Every node is replaced, one after the other, as a deploy does it. */
const rolled = (program) => async (stage) => {
  for (const node of stage.nodes) {
    stage.farewell(`SIGTERM ${node.name}`);
    await node.end('SIGTERM');
    if (program) node.program = null;
    await node.launch();
    await stage.calm(1500);
  }
};

const STORES = [
  { of: 'Redis', key: 'redis', store: () => new SingleRedis() },
  { of: 'NATS', key: 'nats', store: () => new NatsServers() },
];

const durable = { expect: 'durability' };
const old = () => process.env.OLD_CAMPANILE_BIN;

/** No clusters; they try the harness itself. */
const TRIALS = [
  {
    name: 'alone-rolled',
    title: 'One node, its own disk: restarted',
    nodes: 1,
    balanced: 6,
    store: () => ({ engine: () => ({ type: 'disk', disk: { path: 'data' } }) }),
    act: rolled(),
    isTrial: true,
    ...durable,
  },
  {
    name: 'strangers',
    title: 'Three nodes that share nothing: has to fail',
    balanced: 6,
    patience: 3000,
    store: () => ({ engine: () => ({ type: 'memory' }) }),
    act: killed(1, 500),
    isTrial: true,
    ...durable,
  },
];

export const NODE_SCENARIOS = [
  ...TRIALS,
  ...STORES.flatMap(({ of, key, store }) => [
    {
      name: `${key}-node-killed`,
      title: `${of}: kill -9 of a node, ×3`,
      covers: ['R1', 'R12', 'R13'],
      isQuick: true,
      store,
      act: killed(3, 2000),
      isPresenceWatched: true,
      ...durable,
    },
    {
      name: `${key}-node-killed-often`,
      title: `${of}: kill -9 of a node, ×50`,
      covers: ['R1', 'R12', 'R13'],
      store,
      act: killed(50, 1500),
      ...durable,
    },
    {
      name: `${key}-node-frozen`,
      title: `${of}: SIGSTOP of a node for 10 s`,
      covers: ['R3'],
      isQuick: key === 'redis',
      store,
      act: frozen(10_000),
      isPresenceWatched: true,
      ...durable,
    },
    {
      name: `${key}-node-frozen-long`,
      title: `${of}: SIGSTOP of a node for 30 s`,
      covers: ['R3'],
      store,
      act: frozen(30_000),
      isPresenceWatched: true,
      ...durable,
    },
    {
      name: `${key}-rolled`,
      title: `${of}: all nodes restarted one after another`,
      covers: ['R10', 'R13'],
      isQuick: true,
      store,
      act: rolled(),
      ...durable,
    },
    ...(old()
      ? [
          {
            name: `${key}-upgraded`,
            title: `${of}: rolled from the release before`,
            covers: ['R19'],
            store,
            program: old,
            act: rolled(old()),
            ...durable,
          },
        ]
      : []),
  ]),
];
