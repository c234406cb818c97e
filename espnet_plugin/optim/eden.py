"""Eden, the learning-rate schedule of icefall's zipformer."""

import math
from typing import Annotated

import torch

from espnet_plugin.common.bounds import Bounds, NotNegative, Positive, Share
from espnet_plugin.common.conf import check_keys
from espnet_plugin.errors import UserError

EPOCHS = ("fractional", "whole")


class Eden:
    """lr = base ((b^2 + B^2) / B^2)^(-1/4) ((e^2 + E^2) / E^2)^(-1/4) w after b batches and e epochs (Yao et al. 2023, arXiv 2310.11230).

    w rises linearly from `warmup_start` to 1 over `warmup_batches`. Call `step` after every batch; epochs are b / batches_per_epoch. Or
    call it as icefall does: `step_batch` before every update, `step_epoch` at the start of each epoch, whose number is then taken as it is
    where no `batches_per_epoch` is known.

    Args:
        optimizer: whose groups' ``lr`` is the base rate.
        lr_batches: B.
        lr_epochs: E, epochs.
        batches_per_epoch: batches of an epoch; None until the trainer has counted them, see `set_epoch_length`, and epochs are not
            counted until then.
        warmup_batches, warmup_start: warm-up.
        epochs: ``fractional``, or ``whole`` as in icefall, where the rate falls at the end of each epoch only (a fraction more, at most
            7 % early in training).

    Raises:
        UserError: an option that is not a number in its range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        lr_batches: Positive = 7500,
        lr_epochs: Positive = 3.5,
        batches_per_epoch: Annotated[int | None, Bounds(1)] = None,
        warmup_batches: NotNegative = 500.0,
        warmup_start: Share = 0.1,
        epochs: str = "fractional",
    ):
        if epochs not in EPOCHS:
            raise UserError(f"scheduler_conf.epochs: {epochs!r} is not one of {list(EPOCHS)}")
        given = dict(lr_batches=lr_batches, lr_epochs=lr_epochs, batches_per_epoch=batches_per_epoch)
        check_keys("scheduler", Eden, given | dict(warmup_batches=warmup_batches, warmup_start=warmup_start))
        self.optimizer = optimizer
        self.lr_batches, self.lr_epochs, self.batches_per_epoch = lr_batches, lr_epochs, batches_per_epoch
        self.warmup_batches, self.warmup_start = warmup_batches, warmup_start
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.batch = 0
        self.epochs = epochs
        self.epoch: int | None = None
        self._apply()

    def epochs_done(self) -> float:
        """e of the formula, 0 where nothing tells."""
        if self.epoch is not None and (self.epochs == "whole" or not self.batches_per_epoch):
            return self.epoch
        done = self.batch / self.batches_per_epoch if self.batches_per_epoch else 0
        return math.floor(done) if self.epochs == "whole" else done

    def factor(self) -> float:
        """Present rate relative to the base rate."""
        decay = (1 + (self.batch / self.lr_batches) ** 2) ** -0.25
        decay *= (1 + (self.epochs_done() / self.lr_epochs) ** 2) ** -0.25
        done = min(1.0, self.batch / self.warmup_batches) if self.warmup_batches else 1.0
        return decay * (self.warmup_start + (1 - self.warmup_start) * done)

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base * self.factor()

    def set_epoch_length(self, batches: int) -> None:
        """Tell how many batches an epoch has, where the configuration does not."""
        if self.batches_per_epoch is None:
            self.batches_per_epoch = batches
            self._apply()

    def step(self, epoch: int | None = None) -> None:
        """Count one batch. Args: epoch is not used; ESPnet's interface has it."""
        self.step_batch()

    def step_batch(self, batch: int | None = None) -> None:
        """Count one batch, or set how many there were since the start of training."""
        self.batch = self.batch + 1 if batch is None else batch
        self._apply()

    def step_epoch(self, epoch: int | None = None) -> None:
        """Count one epoch, or set how many there were."""
        self.epoch = (self.epoch or 0) + 1 if epoch is None else epoch
        self._apply()

    def get_last_lr(self) -> list[float]:
        """Present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        return {"batch": self.batch, "epoch": self.epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict) -> None:
        """Load what `state_dict` gave, or icefall's Eden, which keeps the base rates that it was made with."""
        self.batch, self.epoch = state["batch"], state.get("epoch")
        self.base_lrs = list(state.get("base_lrs", self.base_lrs))
        self._apply()
