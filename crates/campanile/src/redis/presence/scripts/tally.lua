-- KEYS[1]: user -> nodes. KEYS[2]: node -> its sessions.
return {redis.call('HLEN', KEYS[1]), redis.call('HGETALL', KEYS[2])}
