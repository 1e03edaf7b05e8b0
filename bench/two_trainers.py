#!/usr/bin/env python3
"""Two trainers against one on a language model: 20 updates in lockstep that draw the same groups, loss by loss.

usage: two_trainers.py [MODEL_FOLDER]      from the repository, after a build; SmolLM2-135M-Instruct if none is given

Every update takes all completions of all questions, so one trainer and two have the same batch; what may differ is
the order in which floating-point numbers are added up.  Prints the losses and the largest difference, relative to the
largest loss; exit code 1 where it is above 1e-5.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py

PROGRAM = os.environ.get("TIGHTROPE", "build/release/bin/tightrope")
SHOTS = "Q: max of 3 44\nA: 44\nQ: max of 12 5\nA: 12\nQ: "
QUESTIONS = ("32 71", "64 40", "90 11", "27 81")  # some answers right, some wrong
WORDS = ["inputs/smoke/max4_smollm2.ini", "--data.generator=none", "--data.heldout_questions=0", "--data.shots=0",
         "--run.mode=lockstep", "--run.interval=1", "--trainer.steps=20", "--evaluation.every=0",
         "--replay.recent_fraction=1", "--replay.recent_window=0", "--tba.initial_fill=0"]


def losses(trainers, model, folder):
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps({"prompt": f"{SHOTS}max of {numbers}\nA:",
                                             "answer": str(max(map(int, numbers.split())))}) + "\n"
                                 for numbers in QUESTIONS))
    words = [*WORDS, f"--data.train={questions}", f"--model.path={model}", f"--world.trainers={trainers}",
             f"--run.folder={folder}", f"--run.name={trainers}"]
    subprocess.run(["mpirun", "-n", str(trainers + 1), PROGRAM, *words], check=True, stdout=subprocess.DEVNULL)
    with h5py.File(folder / str(trainers) / "metrics.h5", "r", locking=False) as file:
        return file["training/loss"][:]


def main(model="models/SmolLM2-135M-Instruct"):
    with tempfile.TemporaryDirectory() as folder:
        one, two = (losses(trainers, pathlib.Path(model).resolve(), pathlib.Path(folder)) for trainers in (1, 2))
    apart = abs(two - one) / one.max()  # it falls to 0 where all answers are right
    for step, row in enumerate(zip(one, two, apart), 1):
        print("update {:2}: {:.8g} by one trainer, {:.8g} by two, {:.1e} apart".format(step, *row))
    print(f"{len(one)} updates, at most {apart.max():.1e} apart")
    return len(one) != 20 or not apart.max() <= 1e-5


sys.exit(main(*sys.argv[1:]))
