#pragma once
// Environment: a batched, deterministic construction of objects step by step (a DAG with one source per query).
// A state is `state_size()` int32; N states lie one after another.  Every edge has one forward action id at its
// parent and one backward action id at its child; two actions that lead to the same child are two edges.
// Sequences, sets and graphs of variable length pad their states; length is counted by the adapter.
#include <cstdint>
#include <span>
#include <vector>

namespace tightrope {

class Environment {
 public:
  struct Sizes {
    int64_t state = 0;             // int32 values of a state
    int64_t actions = 0;           // A: forward action ids
    int64_t backward_actions = 0;  // backward action ids
    int64_t max_length = 0;        // T: edges of the longest trajectory, a stop edge included
    int64_t features = 0;          // width of the one-hot observation
    int64_t active = 0;            // F: features active at once, at most
    int64_t queries = 1;
  };

  virtual ~Environment() = default;
  virtual Sizes sizes() const = 0;

  // Each call handles N states; every span holds N times its per-state size.
  virtual void reset(std::span<const int64_t> query, std::span<int32_t> states) const = 0;
  virtual void terminal(std::span<const int32_t> states, std::span<uint8_t> is) const = 0;
  virtual void forward_mask(std::span<const int32_t> states, std::span<uint8_t> valid) const = 0;
  virtual void backward_mask(std::span<const int32_t> states, std::span<uint8_t> valid) const = 0;
  virtual void step(std::span<int32_t> states, std::span<const int32_t> actions) const = 0;
  virtual void unstep(std::span<int32_t> states, std::span<const int32_t> backward) const = 0;
  // The backward id, at the child, of the edge that `actions` takes from `states`, and the other way round.
  virtual void backward_of(std::span<const int32_t> states, std::span<const int32_t> actions,
                           std::span<int32_t> backward) const = 0;
  virtual void forward_of(std::span<const int32_t> children, std::span<const int32_t> backward,
                          std::span<int32_t> actions) const = 0;
  virtual void observe(std::span<const int32_t> states, std::span<int32_t> active) const = 0;
  virtual void log_reward(std::span<const int32_t> terminal_states, std::span<float> nats) const = 0;

  // States of the whole DAG where an exact sum over it is reasonable; 0 = too many to enumerate.
  virtual int64_t enumerable_states() const { return 0; }
  // The lengths of the axes where terminal states in ascending order fill a box (for plots); empty where they do not.
  virtual std::vector<int64_t> box() const { return {}; }
  // Modes that evaluations count: how many there are, and which one a terminal state belongs to (-1 = none).
  virtual int64_t modes() const { return 0; }
  virtual int64_t mode_of(std::span<const int32_t> /*terminal_state*/) const { return -1; }
};

// Writes the batch loops for an environment that is written state by state.  E derives from PerState<E> and has
//   using State = std::span<int32_t>; using View = std::span<const int32_t>;
//   void start(int64_t query, State) const;              bool done(View) const;
//   void valid(View, std::span<uint8_t>) const;          void valid_backward(View, std::span<uint8_t>) const;
//   void apply(State, int32_t action) const;             void undo(State, int32_t backward) const;
//   void features(View, std::span<int32_t>) const;       double reward(View) const;      (log R, nats)
// and, where an edge's two ids differ, backward_id(parent, action) and forward_id(child, backward).
template <class E>
class PerState : public Environment {
 public:
  using State = std::span<int32_t>;
  using View = std::span<const int32_t>;

  void reset(std::span<const int64_t> query, State states) const final {
    for (size_t i = 0; i < query.size(); ++i) self().start(query[i], row(states, i));
  }
  void terminal(View states, std::span<uint8_t> is) const final {
    for (size_t i = 0; i < is.size(); ++i) is[i] = self().done(row(states, i));
  }
  void forward_mask(View states, std::span<uint8_t> valid) const final {
    const size_t width = static_cast<size_t>(sizes_.actions);
    for (size_t i = 0; i < valid.size() / width; ++i) self().valid(row(states, i), valid.subspan(i * width, width));
  }
  void backward_mask(View states, std::span<uint8_t> valid) const final {
    const size_t width = static_cast<size_t>(sizes_.backward_actions);
    for (size_t i = 0; i < valid.size() / width; ++i)
      self().valid_backward(row(states, i), valid.subspan(i * width, width));
  }
  void step(State states, View actions) const final {
    for (size_t i = 0; i < actions.size(); ++i) self().apply(row(states, i), actions[i]);
  }
  void unstep(State states, View backward) const final {
    for (size_t i = 0; i < backward.size(); ++i) self().undo(row(states, i), backward[i]);
  }
  void backward_of(View states, View actions, State backward) const final {
    for (size_t i = 0; i < actions.size(); ++i) backward[i] = self().backward_id(row(states, i), actions[i]);
  }
  void forward_of(View children, View backward, State actions) const final {
    for (size_t i = 0; i < backward.size(); ++i) actions[i] = self().forward_id(row(children, i), backward[i]);
  }
  void observe(View states, State active) const final {
    const size_t width = static_cast<size_t>(sizes_.active);
    for (size_t i = 0; i < active.size() / width; ++i)
      self().features(row(states, i), active.subspan(i * width, width));
  }
  void log_reward(View states, std::span<float> nats) const final {
    for (size_t i = 0; i < nats.size(); ++i) nats[i] = static_cast<float>(self().reward(row(states, i)));
  }
  Sizes sizes() const final { return sizes_; }

  int32_t backward_id(View, int32_t action) const { return action; }
  int32_t forward_id(View, int32_t backward) const { return backward; }

 protected:
  explicit PerState(const Sizes& sizes) : sizes_(sizes) {}

 private:
  const E& self() const { return static_cast<const E&>(*this); }
  template <class Span>
  Span row(Span states, size_t i) const {
    const size_t width = static_cast<size_t>(sizes_.state);
    return states.subspan(i * width, width);
  }
  Sizes sizes_;
};

}  // namespace tightrope
