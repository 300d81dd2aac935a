// What is broken, and how. Each is played on a cast of its own.
//
// `expect` is `durability` where everything acknowledged has to be there afterwards, and `announcement` where the
// store may lose what it acknowledged: then everybody has to be told. `delivery` is between: what was acknowledged has
// to reach everybody who is there, but streams may begin anew, as what was not acknowledged had been seen and is gone.

import { NODE_SCENARIOS } from './scenarios/nodes.mjs';
import { REDIS_SCENARIOS } from './scenarios/redis.mjs';
import { NATS_SCENARIOS } from './scenarios/nats.mjs';

export const SCENARIOS = [...NODE_SCENARIOS, ...REDIS_SCENARIOS, ...NATS_SCENARIOS];
