# SPDX-License-Identifier: GPL-3.0-or-later
"""What the training loop asks of an accelerator, in one process or in several."""

import datetime
import os
import typing

import torch

from ..core.devices import fast_dtype
from ..running.distributed import launched

MAX_HOURS = 12  # that one process waits for another


class OneProcess:
    """What the training loop asks of an accelerator, where there is one process. dtype: in which networks compute where
    that is safe."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def autocast(self) -> typing.ContextManager[None]:
        """A context in which networks compute in the dtype."""
        enabled = self.dtype != torch.float32
        return typing.cast("typing.ContextManager[None]", torch.autocast(self.device.type, self.dtype, enabled=enabled))

    def wait_for_everyone(self) -> None:
        """Return when all processes have come so far."""

    def wrapped(self, networks: torch.nn.ModuleDict) -> dict[str, torch.nn.Module] | None:
        """{name: network that shares its gradients}, None where there is nobody to share them with."""
        return None

    def part(self, batch: typing.Any) -> typing.Any:
        """This process's part of a batch."""
        return batch

    def mean(self, losses: typing.Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Losses of the whole batch."""
        return {name: float(value) for name, value in losses.items()}

    def largest(self, number: int) -> int:
        """The largest of the numbers that the processes have."""
        return number

    def of_first(self, value: typing.Any) -> typing.Any:
        """What the first process has."""
        return value

    def spread(self, networks: torch.nn.ModuleDict) -> None:
        """Give all processes the weights of the first one."""


class SeveralProcesses(OneProcess):
    """The same for one of several, by accelerate. Each step's batch is drawn alike in all, and shared out."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs

        super().__init__(device, dtype)
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)  # accelerate takes the first GPU otherwise
        # the others wait while the first process prepares the data, which may take longer than torch's ten minutes
        patience = InitProcessGroupKwargs(timeout=datetime.timedelta(hours=MAX_HOURS))
        self._accelerator = Accelerator(cpu=device.type == "cpu", kwargs_handlers=[patience], mixed_precision="no")
        self.num_processes, self.process_index = self._accelerator.num_processes, self._accelerator.process_index
        self.is_main_process = self.process_index == 0

    def wait_for_everyone(self) -> None:
        self._accelerator.wait_for_everyone()

    def wrapped(self, networks: torch.nn.ModuleDict) -> dict[str, torch.nn.Module]:
        return {name: self._accelerator.prepare_model(network) for name, network in networks.items()}

    def part(self, batch: typing.Any) -> typing.Any:
        """Neighbours in the batch stay together: the kinds of examples take turns in some. Raises ValueError if it
        cannot be shared evenly."""
        whole, count = len(batch[0]), self.num_processes
        if whole % count:
            raise ValueError(
                f"Batch size is {whole}, which is not a multiple of the {count} processes. Start as many (GPUs in "
                "--device) as divide it, or choose another batch size (--batch-size, where the command has it)."
            )
        start = self.process_index * whole // count
        return tuple(x[start : start + whole // count] for x in batch)

    def mean(self, losses: typing.Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Of equal parts, the mean over the processes."""
        values = torch.stack([value.detach().float().to(self.device) for value in losses.values()])
        torch.distributed.all_reduce(values)
        return dict(zip(losses, (values / self.num_processes).tolist()))

    def largest(self, number: int) -> int:
        value = torch.tensor(number, device=self.device)
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
        return int(value)

    def of_first(self, value: typing.Any) -> typing.Any:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def spread(self, networks: torch.nn.ModuleDict) -> None:
        for tensor in networks.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def accelerator_for(device: torch.device) -> OneProcess:
    """OneProcess, or one of SeveralProcesses that torchrun has started; in bfloat16 where it is fast."""
    return (SeveralProcesses if launched() else OneProcess)(device, fast_dtype(device))
