"""What carries calls to a server: the only part of streamq that knows sockets."""
