-- KEYS[1]: the channels that a node has sessions in. ARGV: SADD or SREM, and names.
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
