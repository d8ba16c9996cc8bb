"""What the flags of `kapps pcrec` mean, as a table for each verb."""

from __future__ import annotations

import argparse
import csv

from tools.commands import Flags, seed_number

COMMAND = "kapps pcrec"


def integers(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers separated by commas, received {text!r}") from None


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, received {text!r}") from None


def three_shares(text: str) -> tuple[float, ...]:
    """Three numbers separated by commas."""
    found = numbers(text)
    if len(found) != 3:
        raise argparse.ArgumentTypeError(f"expected three shares, as 0.8,0.1,0.1, received {text!r}")
    return found


def words(text: str) -> tuple[str, ...]:
    """Ids separated by commas; one with a comma in it stands in double quotes, as in CSV."""
    return tuple(word for row in csv.reader([text], skipinitialspace=True) for word in row if word)


PREPARE: Flags = {
    "--validation": (str, "file of a validation part that is given; then LOG is the training part"),
    "--test": (str, "file of a test part that is given"),
    "--user": (str, "column of users (default user_id)"),
    "--item": (str, "column of items (default item_id)"),
    "--value": (str, "column of ratings (default: none is read)"),
    "--time": (str, "column of times, numbers or dates (default: none is read)"),
    "--separator": (str, "of a text file (default: a comma in .csv, a tab in .tsv, .txt and .inter)"),
    "--drop-missing": (None, "leave out rows without user, item, value or time (default: they are an error)"),
    "--minimum-value": (float, "leave out rows with a lower rating"),
    "--maximum-value": (float, "leave out rows with a higher rating"),
    "--minimum-time": (str, "leave out earlier rows; a number or a date, as the column has them"),
    "--maximum-time": (str, "leave out later rows"),
    "--minimum-user": (int, "rows that a user must have, over and over with --minimum-item (default 1)"),
    "--minimum-item": (int, "rows that an item must have (default 1)"),
    "--split": (str, "leave-one-out, ratio or temporal (default leave-one-out)"),
    "--shares": (three_shares, "for training, validation and test, of ratio and temporal (default 0.8,0.1,0.1)"),
    "--order": (str, "time, or random: which of a user's rows are held out (default time)"),
    "--negatives": (int, "stored for each held-out row (default 99; 0 for none)"),
    "--negatives-rule": (str, "uniform, or rechorus: those of the published protocol (default uniform)"),
    "--seed": (seed_number, "of the random order and of the negatives (default 0)"),
}
FINETUNE: Flags = {
    "--model": (str, "mf, lightgcn, popularity, item_knn or ease (default mf)"),
    "--channels": (int, "length of a vector (default 64, or that of the initial vectors)"),
    "--learning-rate": (float, "of the optimizer (default 0.001)"),
    "--l2": (float, "weight of the squared vectors of a batch (default 0.1, of lightgcn 0.0001)"),
    "--batch-size": (int, "interactions in a step (default 256)"),
    "--negatives": (int, "drawn for each interaction (default 1)"),
    "--epochs": (int, "at most (default 100); 0 leaves initial vectors as they are"),
    "--passes": (int, "over the interactions in an epoch, after which validation is ranked (default: 1,000 steps)"),
    "--patience": (int, "epochs without improvement after which to stop (default 5)"),
    "--monitor": (str, "measure on the validation part that chooses (default ndcg@10)"),
    "--protocol": (str, "full or stored: what validation ranks among (default full)"),
    "--validation-users": (int, "rows of the validation part to rank, drawn once (default 20000; 0 for all)"),
    "--initial": (str, "file of vectors to begin with (default: random numbers)"),
    "--initial-form": (str, "given, centred, shuffled, random or degree (default given)"),
    "--initial-norm": (float, "mean norm to which they are scaled (default: as they are)"),
    "--initial-deviation": (float, "of the random numbers (default 0.01, of lightgcn 0.1)"),
    "--depth": (int, "steps of the propagation of lightgcn (default 3)"),
    "--neighbours": (integers, "of item_knn, each tried (default 200,1000)"),
    "--shrinkage": (numbers, "of item_knn, each tried (default 0,10)"),
    "--ease-l2": (numbers, "of ease, each tried (default 50,200,500)"),
    "--seed": (seed_number, "of everything random (default 0)"),
}
PRETRAIN: Flags = {
    "--channels": (int, "length of a vector (default 64)"),
    "--units": (int, "width of the encoder (default 64)"),
    "--convolutions": (int, "of the encoder (default 4)"),
    "--dropout": (float, "of the vector of each depth (default 0.5)"),
    "--queue-size": (int, "keys of earlier batches that a pair is told from (default 16384)"),
    "--momentum": (float, "how much of itself the encoder of the keys keeps in a step (default 0.999)"),
    "--temperature": (float, "divides the similarities (default 0.07)"),
    "--learning-rate": (float, "highest rate of the optimizer (default 0.005)"),
    "--batch-size": (int, "pairs in a step (default 32)"),
    "--steps-per-epoch": (int, "steps after which the state is kept (default 100)"),
    "--epochs": (int, "how many (default 20)"),
    "--method": (str, "walk or neighbourhood: how subgraphs are drawn (default walk)"),
    "--restart": (float, "probability that a walk ends after a step (default 0.8)"),
    "--budget": (int, "steps of a subgraph's walks, or nodes of a neighbourhood at most (default 256)"),
    "--hops": (int, "longest walk (default: no limit), or radius of the neighbourhood"),
    "--dimensions": (int, "positional features of a node (default 32)"),
    "--signs": (str, "of the positional features, absolute or random (default absolute)"),
    "--seed": (seed_number, "of everything random (default 0)"),
}
EMBED: Flags = {
    "--views": (int, "subgraphs of each node, whose vectors are averaged (default 2)"),
    "--batch-size": (int, "subgraphs that are encoded together (default 256)"),
    "--workers": (int, "batches that are made at once (default 2)"),
    "--untrained": (None, "by the encoder as it began, without what it learned"),
    "--seed": (seed_number, "of the subgraphs (default 0)"),
}
