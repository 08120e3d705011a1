"""streamq: a fast job queue on Redis Streams that does not lose jobs."""
