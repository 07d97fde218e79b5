import argparse
import math
import os
import sys

import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms


class NoisyDataset(Dataset):
    def __init__(self, root, sigma, n=256):
        super(NoisyDataset, self).__init__()
        self.base = datasets.FashionMNIST(root, train=True, transform=transforms.Compose([transforms.CenterCrop(24), transforms.ToTensor()]))
        self.sigma = sigma
        self.n = n
        self.noise = torch.from_numpy(__import__("numpy").random.RandomState(0).randn(n, 1, 24, 24)).float()

    def __getitem__(self, index):
        clean, _ = self.base[index]
        return clean + self.noise[index].mul(self.sigma / 255.0), clean

    def __len__(self):
        return self.n


class DnCNN(nn.Module):
    def __init__(self, depth=4, n_channels=16, image_channels=1, kernel_size=3):
        super(DnCNN, self).__init__()
        layers = [nn.Conv2d(image_channels, n_channels, kernel_size, padding=1, bias=True), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(n_channels, n_channels, kernel_size, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(n_channels, eps=0.0001, momentum=0.95))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Conv2d(n_channels, image_channels, kernel_size, padding=1, bias=False))
        self.dncnn = nn.Sequential(*layers)
        self._initialize_weights()

    def forward(self, x):
        return x - self.dncnn(x)

    def _initialize_weights(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.orthogonal_(m.weight)
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.BatchNorm2d):
                m.weight.data.normal_(mean=0, std=math.sqrt(2.0 / 9.0 / 64.0)).clamp_(-0.025, 0.025)
                nn.init.constant_(m.bias, 0)


class sum_squared_error(nn.modules.loss._Loss):
    def __init__(self, size_average=None, reduce=None, reduction="sum"):
        super(sum_squared_error, self).__init__(size_average, reduce, reduction)

    def forward(self, input, target):
        return torch.nn.functional.mse_loss(input, target, reduction="sum").div_(2)


parser = argparse.ArgumentParser(description="DnCNN")
parser.add_argument("data")
parser.add_argument("--epoch", default=3, type=int)
parser.add_argument("--lr", default=1e-3, type=float)
args = parser.parse_args()
torch.set_printoptions(precision=4)
model = DnCNN()
model.train()
criterion = sum_squared_error()
optimizer = optim.Adam(model.parameters(), lr=args.lr)
scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 2], gamma=0.2)
loader = DataLoader(dataset=NoisyDataset(args.data, 25), num_workers=2, drop_last=True, batch_size=32, shuffle=True)
for epoch in range(args.epoch):
    epoch_loss = 0
    for n_count, (noisy, clean) in enumerate(loader):
        optimizer.zero_grad()
        output = model(noisy)
        loss = criterion(output, clean)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
    scheduler.step()
    mse = torch.mean((output.detach() - clean) ** 2)
    psnr = 10 * torch.log10(1 / mse)
    print("epoch = %4d , loss = %4.4f , psnr = %.3f" % (epoch + 1, epoch_loss / (n_count + 1), psnr.item()))
    torch.save(model, os.path.join(".", "model_%03d.pth" % (epoch + 1))) if "--whole" in sys.argv else torch.save(model.state_dict(), "model.pth")
