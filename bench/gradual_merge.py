"""Does merging gradually pay? The KL to the parent from the same conversion, merged at once or during training.

bench/gradual_merge.py PARENT CONVERTED TRAIN_TOKENS VALID_TOKENS MODE [--steps N] [--batch N] [--lr X] [--prune X]

direct   train the converted model as it is.
linear   while training, a head reads z of its parent's key and value and 1 - z of its group's; z falls in a
         straight line from 1 to 0 over --prune of the steps.
l0       the same mix with learned gates, a hard-concrete one for each KV head, and a Lagrangian that drives the
         share of open gates to 0 (arXiv:2412.20677; gates as in arXiv:1712.01312, equations 10 to 12).
fusion   keys and values of a group's heads are mixed by a learned matrix that starts as the identity; a Lagrangian
         drives the heads of a group to become equal (arXiv:2406.06567).
output   each attention block adds z of what the parent's frozen block would and 1 - z of the converted one's.

After --prune of the steps the parent's heads are gone in every mode. CONVERTED must keep the order of query heads
(contiguous groups) for linear and l0; fusion starts from the parent and takes only the number of groups from
CONVERTED. Prints one JSON object: loss of VALID_TOKENS (60,000 tokens, windows of 256), start and end.
"""
import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

WINDOW = 256
GATE_LOW, GATE_HIGH, GATE_HEAT = -0.1, 1.1, 2 / 3  # stretch and temperature of the hard-concrete distribution


class Llama:
    """Weights by name, float32; only what the two models of this measurement need."""

    def __init__(self, folder):
        self.config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        self.w = {name: t.float() for name, t in load_file(pathlib.Path(folder) / "model.safetensors").items()}
        self.n_layers, self.n_heads = self.config["num_hidden_layers"], self.config["num_attention_heads"]
        self.kv_heads, self.head_dim = self.config["num_key_value_heads"], self.config["head_dim"]
        angle = torch.outer(torch.arange(WINDOW), 10000.0 ** (-torch.arange(0, self.head_dim, 2) / self.head_dim))
        self.cos, self.sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)  # [window, head_dim]

    def norm(self, x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * self.w[name]

    def heads(self, x, name):  # [batch, window, hidden] -> [batch, heads, window, head_dim]
        return F.linear(x, self.w[name]).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def rotate(self, x):
        return x * self.cos + torch.cat([-x[..., self.head_dim // 2:], x[..., : self.head_dim // 2]], -1) * self.sin

    def attention(self, x, layer, mix=lambda layer, x, k, v: (k, v)):
        at = f"model.layers.{layer}.self_attn."
        q, k, v = (self.heads(x, f"{at}{p}_proj.weight") for p in "qkv")
        per_group = self.n_heads // k.shape[1]
        k, v = (t.repeat_interleave(per_group, 1) for t in (k, v))  # [batch, query heads, window, head_dim]
        k, v = mix(layer, x, k, v)
        o = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        return F.linear(o.transpose(1, 2).flatten(2), self.w[f"{at}o_proj.weight"])

    def logits(self, ids, attention=None):
        attention = attention or self.attention
        h = self.w["model.embed_tokens.weight"][ids]
        for layer in range(self.n_layers):
            at = f"model.layers.{layer}."
            h = h + attention(self.norm(h, at + "input_layernorm.weight"), layer)
            x = self.norm(h, at + "post_attention_layernorm.weight")
            gate, up = (F.linear(x, self.w[f"{at}mlp.{p}_proj.weight"]) for p in ("gate", "up"))
            h = h + F.linear(F.silu(gate) * up, self.w[at + "mlp.down_proj.weight"])
        return F.linear(self.norm(h, "model.norm.weight"), self.w["lm_head.weight"])


def loss_of(logits_of, windows):
    with torch.no_grad():
        return sum(F.cross_entropy(logits_of(w[:, :-1]).flatten(0, 1), w[:, 1:].flatten(), reduction="sum").item()
                   for w in windows.split(32)) / windows[:, 1:].numel()


class Merge:
    """What stands between the parent's heads and the groups' while training. extra: its own parameters."""

    def __init__(self, mode, parent, student):
        self.mode, self.parent, self.student, self.z, self.extra = mode, parent, student, 1.0, {}
        layers, heads, groups = parent.n_layers, parent.n_heads, student.kv_heads
        if mode in ("linear", "l0"):
            self.keep_parent_heads()
        if mode == "l0":
            self.extra |= {"gate": torch.full((2, layers, heads), 2.5), "push": torch.zeros(2)}
        if mode == "fusion":
            for name in list(student.w):
                if "_proj" in name and "self_attn" in name:
                    student.w[name] = parent.w[name].clone()
            m = heads // groups
            self.extra |= {"mix": torch.eye(m).repeat(2, layers, groups, 1, 1), "push": torch.zeros(2)}

    def keep_parent_heads(self):
        """The parent's k and v heads in the coordinates that the converted queries and Wo read."""
        p, s, d = self.parent, self.student, self.parent.head_dim
        for layer in range(p.n_layers):
            at = f"model.layers.{layer}.self_attn."
            for h in range(p.n_heads):
                rows = slice(h * d, (h + 1) * d)
                q_turn = torch.linalg.lstsq(p.w[at + "q_proj.weight"][rows].T.double(),
                                            s.w[at + "q_proj.weight"][rows].T.double()).solution.T  # q' = turn q
                o_turn = torch.linalg.lstsq(p.w[at + "o_proj.weight"][:, rows].double(),
                                            s.w[at + "o_proj.weight"][:, rows].double()).solution  # Wo' = Wo turn
                for kind, turn in (("k", torch.linalg.inv(q_turn).T), ("v", torch.linalg.inv(o_turn))):
                    name = f"{at}{kind}_parent.{h}"
                    self.extra[name] = (turn @ p.w[f"{at}{kind}_proj.weight"][rows].double()).float()

    def gates(self):  # [2, layers, heads]; equations 10 to 12 with fresh noise
        u = torch.rand_like(self.extra["gate"]).clamp(1e-6, 1 - 1e-6)
        s = torch.sigmoid((u.log() - (1 - u).log() + self.extra["gate"]) / GATE_HEAT)
        return (s * (GATE_HIGH - GATE_LOW) + GATE_LOW).clamp(0, 1)

    def fused(self, kind, layer, t):  # [batch, heads, ...] -> each group's heads mixed
        mix = self.extra["mix"][kind, layer]  # [groups, m, m]
        return torch.einsum("gij,bgjtd->bgitd", mix, t.unflatten(1, (mix.shape[0], -1))).flatten(1, 2)

    def heads(self, layer, x, k, v):
        if self.mode in ("linear", "l0") and self.z > 0:
            at = f"model.layers.{layer}.self_attn."
            mixed = []
            for i, (kind, t) in enumerate((("k", k), ("v", v))):
                weight = torch.cat([self.extra[f"{at}{kind}_parent.{h}"] for h in range(self.parent.n_heads)])
                old = F.linear(x, weight).unflatten(-1, (-1, self.parent.head_dim)).transpose(1, 2)
                z = self.z if self.mode == "linear" else self.drawn[i, layer].view(-1, 1, 1)
                mixed.append(z * old + (1 - z) * t)
            return mixed
        if self.mode == "fusion" and self.z > 0:
            return self.fused(0, layer, k), self.fused(1, layer, v)
        return k, v

    def attention(self, x, layer):
        y = self.student.attention(x, layer, self.heads)
        return y if self.mode != "output" or self.z == 0 else self.z * self.parent.attention(x, layer) + (1 - self.z) * y

    def logits(self, ids):
        if self.mode == "l0" and self.z > 0:
            self.drawn = self.gates()
        return self.student.logits(ids, self.attention)

    def penalty(self, target):
        """Lagrangian of the distance to the wanted share of open gates or of difference between a group's heads."""
        if self.mode == "l0":
            have = torch.sigmoid(self.extra["gate"] - GATE_HEAT * math.log(-GATE_LOW / GATE_HIGH)).mean()
        elif self.mode == "fusion":
            mix = self.extra["mix"]  # difference of a group's rows, 1 for the identity
            have = (mix - mix.mean(-2, keepdim=True)).square().sum((-2, -1)).mean() / (mix.shape[-1] - 1)
        else:
            return 0.0
        return self.extra["push"][0] * (have - target) + self.extra["push"][1] * (have - target) ** 2

    def finish(self):
        """From here on the model is the grouped one."""
        self.z = 0.0
        if self.mode != "fusion":
            return
        w, d, groups = self.student.w, self.parent.head_dim, self.student.kv_heads
        for layer in range(self.parent.n_layers):
            for i, kind in enumerate("kv"):
                name = f"model.layers.{layer}.self_attn.{kind}_proj.weight"
                one = self.extra["mix"][i, layer].mean(-2)  # [groups, m]: the one row that all have become
                with torch.no_grad():
                    w[name] = torch.einsum("gj,gjdh->gdh", one, w[name].unflatten(0, (groups, -1, d))).flatten(0, 1)
                w[name].requires_grad_()


def main():
    args = argparse.ArgumentParser()
    for name in ("parent", "converted", "train", "valid", "mode"):
        args.add_argument(name)
    args.add_argument("--steps", type=int, default=40)
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--lr", type=float, default=5e-4)
    args.add_argument("--prune", type=float, default=0.5)
    args = args.parse_args()
    assert 0 < args.prune < 1, "--prune must be between 0 and 1"
    torch.manual_seed(0)
    parent, student = Llama(args.parent), Llama(args.converted)
    merge = Merge(args.mode, parent, student)
    train, valid = (torch.from_numpy(np.fromfile(f, np.uint16)[512:].astype(np.int64)) for f in (args.train, args.valid))
    valid = valid[: 60000 // WINDOW * WINDOW + 1].unfold(0, WINDOW + 1, WINDOW)
    order = torch.randperm((len(train) - 1) // WINDOW)
    start = loss_of(merge.student.logits, valid) if args.mode != "fusion" else float("nan")

    def optimizer():
        weights = [*student.w.values(), *(t for name, t in merge.extra.items() if name != "push" and merge.z > 0)]
        push = [merge.extra["push"]] if "push" in merge.extra and merge.z > 0 else []
        for t in (*weights, *push):
            t.requires_grad_()
        groups = [{"params": weights, "scale": 1.0, "weight_decay": 0.0}]
        groups += [{"params": [m], "scale": 50.0, "maximize": True, "weight_decay": 0.0} for m in push]
        if "gate" in merge.extra and merge.z > 0:  # the gates must travel 5 units in some ten steps
            groups[0]["params"] = [t for t in weights if t is not merge.extra["gate"]]
            groups.append({"params": [merge.extra["gate"]], "scale": 200.0, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95))

    opt, began, pruned = optimizer(), time.time(), max(1, round(args.prune * args.steps))
    for step in range(args.steps):
        if step == pruned and args.mode != "direct":
            merge.finish()
            if args.mode == "fusion":
                opt = optimizer()
        if args.mode in ("linear", "output") and step < pruned:
            merge.z = 1 - (step + 1) / pruned
        rate = min(1, (step + 1) / 5) * 0.5 * (1 + math.cos(math.pi * max(0, step - 5) / (args.steps - 5)))
        for group in opt.param_groups:
            group["lr"] = args.lr * rate * group["scale"]
        at = order[step * args.batch: (step + 1) * args.batch] * WINDOW
        ids = torch.stack([train[i: i + WINDOW] for i in at])
        with torch.no_grad():
            target = parent.logits(ids).log_softmax(-1)
        kl = F.kl_div(merge.logits(ids).log_softmax(-1), target, reduction="none", log_target=True).sum(-1).mean()
        loss = kl + (merge.penalty(max(0.0, 1 - (step + 1) / (0.6 * pruned))) if merge.z > 0 else 0.0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(opt.param_groups[0]["params"], 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
    print(json.dumps({"mode": args.mode, "converted": args.converted, "lr": args.lr, "prune": args.prune,
                      "tokens": args.steps * args.batch * WINDOW, "start": round(start, 4),
                      "end": round(loss_of(merge.logits, valid), 4), "last_kl": round(kl.item(), 4),
                      "seconds": round(time.time() - began)}))


main()
