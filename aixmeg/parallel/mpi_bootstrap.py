"""The meeting point of torch.distributed, agreed on over MPI: for mpirun across nodes, where nothing else names one.

MPI is used for this and then finalised; the training itself talks over NCCL or gloo.
"""

from __future__ import annotations

import socket

from aixmeg.errors import UserError


def agree(rank: int, world_size: int) -> tuple[str, int]:
    """Rank 0's address and a free port of it; collective over all ranks that mpirun started.

    Raises:
        UserError: mpi4py or its MPI library is missing, or it sees other ranks than mpirun's variables say.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no libmpi
        raise UserError(
            f"AIXMEG_BOOTSTRAP=mpi needs mpi4py and an MPI library ({error}); install aixmeg[mpi], or set MASTER_ADDR "
            "and MASTER_PORT instead"
        ) from error
    world = MPI.COMM_WORLD
    if (world.Get_rank(), world.Get_size()) != (rank, world_size):
        raise UserError(
            f"mpi4py sees rank {world.Get_rank()} of {world.Get_size()}, mpirun's variables say {rank} of {world_size}"
            "; mpi4py was built for another MPI than this mpirun's; install it with that one, or set MASTER_ADDR and "
            "MASTER_PORT instead"
        )
    one_node = world.Split_type(MPI.COMM_TYPE_SHARED).Get_size() == world_size
    found = world.bcast((_address(one_node), _free_port()) if rank == 0 else None, root=0)
    MPI.Finalize()  # a rank that dies later must not leave the others in MPI's own shutdown
    return found


def _address(one_node: bool) -> str:
    """How other ranks reach this host."""
    if one_node:
        return "127.0.0.1"
    name = socket.gethostname()
    for *_, place in socket.getaddrinfo(name, None, socket.AF_INET):
        if not str(place[0]).startswith("127."):  # Debian names the host 127.0.1.1
            return str(place[0])
    return name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
