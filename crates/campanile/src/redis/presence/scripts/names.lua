-- KEYS[1]: a set. ARGV: where to go on, how many at most, about.
return redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
