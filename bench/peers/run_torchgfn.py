"""torchgfn: TB on-policy, MLP 2x256, Adam, uniform P_B; its fast path (log-probs kept from sampling, no re-scoring).

bits: n = 120, k = 8, append-only, the word ids as the network's input as in its own bit-sequence example; P_B = 1.
"""
import importlib.metadata

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.gym.bitSequence import BitSequence
from gfn.preprocessors import IdentityPreprocessor, KHotPreprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP

import common


def make_system(task):
    """(environment, forward policy, TB model, preprocessor)"""
    if task == "bits":
        env = BitSequence(word_size=8, seq_size=120, n_modes=60, temperature=40.0)  # exp(-3 distance / 120)
        preprocessor = IdentityPreprocessor(output_dim=env.words_per_seq)
        backward = None
    else:
        side, dims = common.SHAPES[task]
        kwargs = dict(zip(("R0", "R1", "R2"), common.REWARDS[task]))
        env = HyperGrid(dims, side, reward_fn_kwargs=kwargs, validate_modes=False)
        preprocessor = KHotPreprocessor(side, dims)
        backward = DiscretePolicyEstimator.uniform(env.n_actions, preprocessor=preprocessor)
    network = MLP(preprocessor.output_dim, env.n_actions, hidden_dim=256, n_hidden_layers=2)
    forward = DiscretePolicyEstimator(network, env.n_actions, preprocessor=preprocessor)
    return env, forward, TBGFlowNet(pf=forward, pb=backward, constant_pb=backward is None)


def grid_policy(env, forward, task):
    grid = list(common.states(*common.SHAPES[task]))
    states = env.states_from_tensor(torch.tensor(grid))
    with torch.no_grad():
        logits = forward(states).masked_fill(~states.forward_masks, -torch.inf)
    return dict(zip(grid, torch.softmax(logits, -1).tolist()))


def main():
    options = common.arguments(["grid8", "grid20", "grid20_sparse", "bits"])
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    torch.distributions.Distribution.set_default_validate_args(False)  # argument checks cost it time, not accuracy
    env, forward, model = make_system(options.task)
    sampler = Sampler(forward)
    optimiser = torch.optim.Adam([{"params": model.pf.parameters(), "lr": 1e-3},
                                  {"params": model.logz_parameters(), "lr": 1e-1}])

    def train(steps=10):
        edges = 0
        for _ in range(steps):
            trajectories = sampler.sample_trajectories(env, n=options.batch, save_logprobs=True)
            optimiser.zero_grad()
            model.loss(env, trajectories, recalculate_all_logprobs=False).backward()
            optimiser.step()
            edges += int(trajectories.terminating_idx.sum())
        return steps * options.batch, edges

    result = common.measure(train, options)
    if options.task == "grid8":
        result["tv"] = common.exact_tv(grid_policy(env, forward, options.task), options.task)
    result["log_z"] = float(model.logZ.detach())
    versions = {name: importlib.metadata.version(name) for name in ("torchgfn", "torch")}
    common.report("torchgfn", versions, options, result)


if __name__ == "__main__":
    main()
