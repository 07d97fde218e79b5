import random
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms


class SiameseDataset(Dataset):
    """Pairs of pictures of the same class (1) or of two (0)."""

    def __init__(self, dataset, transform=None):
        self.dataset = dataset
        self.transform = transform
        self.labels = dataset.targets.numpy()
        self.indices = {label: np.where(self.labels == label)[0] for label in set(self.labels.tolist())}
        state = np.random.RandomState(29)
        self.pairs = []
        for i in range(512):
            target = i % 2
            label = self.labels[i].item()
            if target == 0:
                label = random.Random(i).choice([other for other in self.indices if other != label])
            self.pairs.append((i, state.choice(self.indices[label]), target))

    def __getitem__(self, index):
        first, second, target = self.pairs[index]
        img1, img2 = self.dataset.data[first], self.dataset.data[second]
        img1, img2 = transforms.ToPILImage()(img1), transforms.ToPILImage()(img2)
        if self.transform is not None:
            img1, img2 = self.transform(img1), self.transform(img2)
        return img1, img2, torch.from_numpy(np.array([target], dtype=np.float32))

    def __len__(self):
        return len(self.pairs)


class EmbeddingNet(nn.Module):
    def __init__(self):
        super(EmbeddingNet, self).__init__()
        self.convnet = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.PReLU(), nn.MaxPool2d(2, stride=2), nn.Conv2d(16, 32, 5), nn.PReLU(), nn.MaxPool2d(2, stride=2)
        )
        self.fc = nn.Sequential(nn.Linear(32 * 4 * 4, 128), nn.PReLU(), nn.Linear(128, 64), nn.PReLU(), nn.Linear(64, 2))

    def forward(self, x):
        output = self.convnet(x)
        output = output.view(output.size()[0], -1)
        return self.fc(output)


class ContrastiveLoss(torch.nn.Module):
    def __init__(self, margin=2.0):
        super(ContrastiveLoss, self).__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        euclidean_distance = F.pairwise_distance(output1, output2, keepdim=True)
        return torch.mean(
            label * torch.pow(euclidean_distance, 2)
            + (1 - label) * torch.pow(torch.clamp(self.margin - euclidean_distance, min=0.0), 2)
        )


data = SiameseDataset(datasets.FashionMNIST(sys.argv[1], train=True), transform=transforms.ToTensor())
loader = DataLoader(data, shuffle=True, num_workers=0, batch_size=32)
net = EmbeddingNet()
criterion = ContrastiveLoss()
optimizer = optim.Adam(net.parameters(), lr=0.0005)
for epoch in range(3):
    for i, (img0, img1, label) in enumerate(loader):
        output1, output2 = net(img0), net(img1)
        optimizer.zero_grad()
        loss = criterion(output1, output2, label)
        loss.backward()
        optimizer.step()
        if i % 8 == 0:
            print("Epoch number {}\n Current loss {:.5f}\n".format(epoch, loss.item()))
distance = F.pairwise_distance(output1, output2)
print("mean distance {:.4f}, largest {:.4f}".format(distance.mean().item(), torch.max(distance).item()))
