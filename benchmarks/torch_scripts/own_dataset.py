import csv
import os
import sys

import torch
import torch.nn as nn
from PIL import Image
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler, random_split
from torch.utils.tensorboard import SummaryWriter
from torchvision import transforms


class PictureDataset(Dataset):
    def __init__(self, csv_file, root_dir, transform=None):
        with open(csv_file) as f:
            self.rows = list(csv.reader(f))
        self.root_dir = root_dir
        self.transform = transform

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        name, label = self.rows[idx]
        image = Image.open(os.path.join(self.root_dir, name)).convert("RGB")
        sample = {"image": image, "label": int(label), "name": name}
        if self.transform:
            sample["image"] = self.transform(sample["image"])
        return sample


def main():
    root = sys.argv[1]
    transform = transforms.Compose([
        transforms.Grayscale(num_output_channels=3), transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)
    ])
    dataset = PictureDataset(os.path.join(root, "labels.csv"), root, transform)
    n_train = int(0.8 * len(dataset))
    train_set, val_set = random_split(dataset, [n_train, len(dataset) - n_train], generator=torch.Generator().manual_seed(42))
    weights = torch.ones(len(train_set))
    sampler = WeightedRandomSampler(weights, len(train_set), replacement=False)
    train_loader = DataLoader(train_set, batch_size=8, sampler=sampler, num_workers=2, drop_last=True)
    val_loader = DataLoader(val_set, batch_size=8, shuffle=False, num_workers=2)
    print(len(train_loader), len(val_loader))

    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ELU(), nn.Conv2d(8, 16, 3, stride=2), nn.LeakyReLU(0.1),
        nn.AdaptiveMaxPool2d((2, 2)), nn.Flatten(), nn.Linear(64, 2),
    )
    class_weights = torch.tensor([1.0, 2.0])
    criterion = nn.CrossEntropyLoss(weight=class_weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=0)
    writer = SummaryWriter("runs/own")
    step = 0
    for epoch in range(4):
        model.train()
        for batch in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(batch["image"]), batch["label"])
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            step += 1
        model.eval()
        val_loss, seen = 0.0, []
        with torch.no_grad():
            for batch in val_loader:
                val_loss += criterion(model(batch["image"]), batch["label"]).item()
                seen.extend(batch["name"])
        scheduler.step(val_loss)
        writer.add_scalar("val/loss", val_loss, epoch)
        print("epoch {} steps {} pictures {} loss {:.6f} lr {}".format(epoch, step, len(set(seen)), val_loss, optimizer.param_groups[0]["lr"]))
    writer.close()


if __name__ == "__main__":
    main()
