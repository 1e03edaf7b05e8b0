"""gfnx: TB on-policy, MLP 2x256, Adam, uniform P_B; whole training steps inside one jitted loop.

As in its own baseline the policy is evaluated twice: when sampling, and again on the padded rows for the loss.
Weights are (out, in) and the loss flattens (B, T) to rows: XLA's gradient on processors is then about twice as fast.
"""
import functools
import importlib.metadata

import gfnx
import jax
import jax.numpy as jnp
import optax

import common

STEPS = 16  # training steps per call of the jitted loop


def init_network(key, sizes):
    layers = []
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        key, w, b = jax.random.split(key, 3)
        bound = fan_in**-0.5
        layers.append((jax.random.uniform(w, (fan_out, fan_in), minval=-bound, maxval=bound),
                       jax.random.uniform(b, (fan_out,), minval=-bound, maxval=bound)))
    return layers


def network(layers, x):
    for w, b in layers[:-1]:
        x = jax.nn.relu(x @ w.T + b)
    w, b = layers[-1]
    return x @ w.T + b


def outputs(layers, obs, backward_actions):
    rows = network(layers, obs.reshape(-1, obs.shape[-1]))
    logits = rows.reshape(*obs.shape[:-1], -1)
    return {"forward_logits": logits, "backward_logits": jnp.zeros((*logits.shape[:-1], backward_actions))}


def make_train(env, env_params, batch):
    optimiser = optax.multi_transform({"network": optax.adam(1e-3), "log_z": optax.adam(1e-1)},
                                      {"network": "network", "log_z": "log_z"})
    backward_actions = env.backward_action_space.n

    def policy(key, obs, layers):
        found = outputs(layers, obs, backward_actions)
        return found["forward_logits"], found

    def loss(params, trajectories):
        info = outputs(params["network"], trajectories.obs, backward_actions)
        log_pf, log_pb = gfnx.utils.forward_trajectory_log_probs(env, trajectories.replace(info=info), env_params)
        log_reward = jnp.sum(jnp.where(trajectories.pad, 0.0, trajectories.log_gfn_reward), axis=1)
        return jnp.mean((params["log_z"] + log_pf - log_pb - log_reward) ** 2)

    def step(_, carry):
        params, state, key, edges = carry
        key, sample_key = jax.random.split(key)
        trajectories, info = gfnx.utils.forward_rollout(
            rng_key=sample_key, num_envs=batch, policy_fn=policy, policy_params=params["network"],
            env=env, env_params=env_params)
        gradient = jax.grad(loss)(params, trajectories)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, key, edges + jnp.sum(info["trajectory_length"])

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(carry):
        return jax.lax.fori_loop(0, STEPS, step, carry)

    return optimiser, loop


def main():
    options = common.arguments(["grid8", "grid20", "grid20_sparse"])
    side, dims = common.SHAPES[options.task]
    rewards = gfnx.GeneralHypergridRewardModule(*common.REWARDS[options.task])
    env = gfnx.HypergridEnvironment(rewards, dim=dims, side=side)
    env_params = env.init(jax.random.PRNGKey(1))
    optimiser, loop = make_train(env, env_params, options.batch)
    layers = init_network(jax.random.PRNGKey(0), (side * dims, 256, 256, dims + 1))
    params = {"network": layers, "log_z": jnp.array(0.0)}
    carry = [(params, optimiser.init(params), jax.random.PRNGKey(2), jnp.array(0))]
    compiled = loop.lower(carry[0]).compile()

    def train():
        state, key = carry[0][1:3]
        carry[0] = compiled((carry[0][0], state, key, jnp.array(0)))
        return STEPS * options.batch, int(carry[0][3])

    result = common.measure(train, options)
    params = carry[0][0]
    if options.task == "grid8":
        states = env.get_all_states(env_params)
        legal = jnp.logical_not(env.get_invalid_mask(states, env_params))
        logits = network(params["network"], env.get_obs(states, env_params))
        p = jax.nn.softmax(jnp.where(legal, logits, -jnp.inf), axis=-1).tolist()
        result["tv"] = common.exact_tv(dict(zip(map(tuple, states.state.tolist()), p)), options.task)
    result["log_z"] = float(params["log_z"])
    versions = {name: importlib.metadata.version(name) for name in ("gfnx", "jax", "jaxlib")}
    common.report("gfnx", versions, options, result)


if __name__ == "__main__":
    main()
