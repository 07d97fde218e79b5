"""Where the CPU's dense kernels find things: tables and sizes, worked out once for each geometry."""
