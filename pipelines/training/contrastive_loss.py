"""The contrastive loss of features, with several positives: InfoNCE (arXiv 1807.03748), and SupCon's form (2004.11362)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(features: Tensor, positives: Tensor, temperature: float, negatives: Tensor | None = None) -> Tensor:
    """The mean over anchors, those with a positive, of the mean over its positives of -log softmax of their cosines; 0 where
    there is no anchor.

    `features`: float (n, width), of any length. `positives`: bool (n, n), a row for each anchor. A positive is held against
    all else, other positives too (SupCon, StableRep); with `negatives`, bool (n, n), against those alone (InfoNCE).
    """
    normal = F.normalize(features, dim=1)
    logits = normal @ normal.T / temperature
    positives = positives & ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    if negatives is None:
        logits = logits.masked_fill(torch.eye(len(features), dtype=torch.bool, device=features.device), -torch.inf)
        against = logits.logsumexp(dim=1, keepdim=True).expand_as(logits)
    else:
        against = torch.logaddexp(logits, logits.masked_fill(~negatives, -torch.inf).logsumexp(dim=1, keepdim=True))
    losses = (against - logits).masked_fill(~positives, 0).sum(dim=1) / positives.sum(dim=1).clamp(min=1)
    anchors = positives.any(dim=1)
    return losses[anchors].mean() if anchors.any() else features.sum() * 0
