// What happens to the NATS servers, or on the way to them.

import { NatsServers } from '../cast/nats.mjs';
import { cableOut, torn } from './lines.mjs';

const nats = { store: () => new NatsServers(), expect: 'durability' };

const killed = (pick) => async (stage) => {
  const server = await pick(stage);
  stage.fault(`kill -9 ${server.name}`);
  await server.end('SIGKILL');
  await stage.calm(4000);
  await server.launch();
  await stage.calm(3000);
};

const any = (stage) => stage.random.fork('victim').pick(stage.store.servers);
const leader = (stage) => stage.store.leader();

/** All at once: nobody acknowledges anything meanwhile. */
const stopped = async (stage) => {
  const { servers } = stage.store;
  await Promise.all(servers.map((one) => one.end('SIGTERM')));
  await stage.calm(3000);
  stage.fault('NATS is back');
  await Promise.all(servers.map((one) => one.launch()));
  await stage.calm(4000);
};

/** Clients are asked to go elsewhere first. */
const lameDuck = async (stage) => {
  for (const server of stage.store.servers) {
    stage.fault(`lame duck: ${server.name}`);
    await server.retire();
    await server.launch();
    await stage.calm(3000);
  }
};

const frozen = async (stage) => {
  const server = await leader(stage);
  stage.fault(`SIGSTOP ${server.name}`);
  server.freeze();
  await stage.calm(3000);
  server.thaw();
  await stage.calm(3000);
};

export const NATS_SCENARIOS = [
  {
    ...nats,
    name: 'nats-killed',
    title: 'NATS: kill -9 of a server',
    covers: ['R8'],
    isQuick: true,
    act: killed(any),
  },
  {
    ...nats,
    name: 'nats-leader-killed',
    title: 'NATS: kill -9 of the leader',
    covers: ['R8'],
    act: killed(leader),
  },
  {
    ...nats,
    name: 'nats-stopped',
    title: 'NATS: all servers stopped, back after 3 s',
    covers: ['R8'],
    act: stopped,
  },
  {
    ...nats,
    name: 'nats-lame-duck',
    title: 'NATS: each server as a lame duck',
    covers: ['R8'],
    act: lameDuck,
  },
  {
    ...nats,
    name: 'nats-frozen',
    title: 'NATS: the leader frozen for 3 s',
    covers: ['R8'],
    act: frozen,
  },
  {
    ...nats,
    name: 'nats-line-torn',
    title: "NATS: a node's line reset, refused, half open",
    covers: ['R2', 'R8'],
    isLined: true,
    act: torn(9),
  },
  {
    ...nats,
    name: 'nats-cable',
    title: "NATS: a node's cable out for 10 s",
    covers: ['R8'],
    isNetworked: true,
    act: cableOut(10_000),
  },
];
