"""What touches process groups: rank discovery, the topology of groups, and the CPU adaptor of megatron-core.

Importing this package prepares the process for megatron-core: on a machine without CUDA it installs the adaptor, so
import it before `megatron.core`.
"""

from aixmeg.parallel import adaptor, quiet

quiet.install()
adaptor.install()
