#include "tightrope/learn/replay_index.hpp"

namespace tightrope {

void ReplayDeck::fields(FieldList& f) {
  constexpr double many = 1e15;  // beyond any count or version, exact in a double
  f.bytes("bytes", bytes, {1, many}, "all stores together");
  f.bytes("lane_bytes", lane_bytes, {1, many}, "one lane; at least four longest records are made room for");
  f.choice("lane", lane, {"bounded", "overwrite"},
           "a full lane: bounded makes its searcher wait, overwrite loses the oldest records");
  f.count("capacity", capacity, {0, many}, "records", "most records per store; 0 = as many as the bytes hold");
  f.count("capacity_per_query", capacity_per_query, {0, many}, "records", "most records per query; 0 = no bound");
  f.choice("keep", keep, {"newest", "highest_reward"}, "what stays at capacity");
  f.flag("deduplicate", deduplicate, "an equal trajectory refreshes the one that is there");
  f.real("recent_fraction", recent_fraction, {0, 1}, "probability",
         "that a group is drawn from a query's recent records instead of all of them (TBA's m)");
  f.count("recent_window", recent_window, {0, many}, "updates", "recent = version >= newest - recent_window");
  f.choice("within", within, {"uniform", "softmax"}, "draw within a query: uniform, or softmax of the log reward");
  f.real("inverse_temperature", inverse_temperature, {0, 1e6}, "1/nats", "of that softmax");
  f.count("minimum", minimum, {0, many}, "records", "that arrive in a store before its first draw");
  f.real("samples_per_insert", samples_per_insert, {0, 1e9}, "draws",
         "at most so many draws per record that arrived; searchers wait when far ahead of it; 0 = no bound");
  f.count("maximum_staleness", maximum_staleness, {0, many}, "updates", "older records are never drawn; 0 = no bound");
}

}  // namespace tightrope
