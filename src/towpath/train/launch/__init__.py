"""Starting a training run as a job of several processes: here, on Slurm, SkyPilot or Kubernetes.

Comes in: a run file and how many processes on how many machines. Goes out: on this machine a
supervised job (``local``), elsewhere the text of a job file. All of them start ``towpath train`` in
every process and say by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT which one it is.
"""
