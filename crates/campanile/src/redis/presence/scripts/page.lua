-- KEYS[1]: a hash. ARGV: where to go on, how many at most, about.
return redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
