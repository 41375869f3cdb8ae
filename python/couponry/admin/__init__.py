"""The local admin socket of a worker, and `couponry cache`, which talks to it.

Whoever can open the socket can empty the caches, so it is a file of mode 0600 and off unless `admin.socket` names it.
"""
