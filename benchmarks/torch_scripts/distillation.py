import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--T", type=float, default=4.0)
parser.add_argument("--alpha", type=float, default=0.7)
args = parser.parse_args()

torch.manual_seed(0)
x = torch.linspace(-1, 1, 512 * 2 * 8 * 8).reshape(512, 2, 8, 8).sin().mul(7.0).cos()
y = (x.abs().amax(dim=(1, 2, 3)) * 1000).long() % 5
loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)


def net(width):
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1), nn.BatchNorm2d(width), nn.SiLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.Hardswish(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(2 * width, 5),
    )


teacher, student = net(32), net(8)


def distill(y, labels, teacher_scores, T, alpha):
    soft = F.kl_div(F.log_softmax(y / T, dim=1), F.softmax(teacher_scores / T, dim=1), reduction="batchmean")
    return soft * (T * T * alpha) + F.cross_entropy(y, labels) * (1.0 - alpha)


optimizer = torch.optim.RMSprop(teacher.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
for epoch in range(3):
    total = 0.0
    for data, target in loader:
        loss = F.cross_entropy(teacher(data), target, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimizer.step()
        total += float(loss) * len(data)
    scheduler.step()
    print(f"teacher epoch {epoch} loss {total / len(x):.4f} lr {scheduler.get_last_lr()[0]:.6f}")

teacher.eval()
for p in teacher.parameters():
    p.requires_grad_(False)
optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3, weight_decay=0.01, amsgrad=True)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: 0.9**epoch)
for epoch in range(3):
    total = 0.0
    for data, target in loader:
        with torch.no_grad():
            scores = teacher(data)
        loss = distill(student(data), target, scores, args.T, args.alpha)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * data.shape[0]
    scheduler.step()
    print("student epoch {} loss {:.4f}".format(epoch, total / len(x)))
student.eval()
with torch.no_grad():
    top = student(x).topk(2, dim=1)[1]
print("top-2 accuracy", round((top == y.unsqueeze(1)).any(dim=1).float().mean().item(), 3))
