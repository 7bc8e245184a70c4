"""One file for each job that a person gives the program. Every function takes ``now`` or a site with a clock."""
