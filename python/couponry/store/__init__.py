"""MySQL, Redis and the layers over them. SQL and Redis commands live here and nowhere else."""
