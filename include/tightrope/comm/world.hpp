#pragma once
// World: ranks -> roles.  Trainers are ranks 0 .. T-1, searchers the last S ranks; either every rank has both roles or
// none has.  Where one-sided operations wait for their target (decision 8) it keeps a progress thread, if it may.
#include <memory>
#include <string>

#include "tightrope/base/mpi.hpp"
#include "tightrope/core/deck.hpp"

namespace tightrope {

struct WorldDeck {
  static constexpr const char* section = "world";
  int64_t trainers = 1;
  int64_t searchers = 0;
  int64_t threads = 0;
  std::string progress = "auto";
  std::string device = "auto";
  void fields(FieldList& f);
};

struct Roles {
  int trainers = 1, searchers = 1;
  bool both = false;  // every rank has both roles: searcher s is trainer s

  // Throws Failure ("fewer ranks than roles" ...) where the deck does not fit the number of ranks.
  static Roles of(const WorldDeck& deck, int ranks);
};

class World {
 public:
  World(mpi::Comm comm, const WorldDeck& deck);  // collective
  const mpi::Comm& comm() const { return comm_; }
  const mpi::Comm& trainers() const { return trainers_; }  // size 0 off the trainers
  const Roles& roles() const { return roles_; }
  bool is_trainer() const { return comm_.rank() < roles_.trainers; }
  bool is_searcher() const { return searcher() >= 0; }
  int searcher() const;  // this rank's searcher index or -1
  int trainer() const { return is_trainer() ? comm_.rank() : -1; }
  int owner(int64_t query, int64_t id, int64_t queries) const;  // the trainer that keeps the record
  int threads() const { return threads_; }                      // for the mathematics of this rank
  int ranks_on_node() const { return ranks_on_node_; }
  const mpi::Passivity& passivity() const { return passivity_; }  // as measured, without the progress thread
  bool has_progress_thread() const { return progress_ != nullptr; }
  std::string summary() const;  // one line: roles, threads, what one-sided operations do here

 private:
  mpi::Comm comm_, trainers_;
  Roles roles_;
  int threads_ = 1, ranks_on_node_ = 1;
  mpi::Passivity passivity_;
  std::unique_ptr<mpi::Progress> progress_;  // last: ends before the communicators
};

}  // namespace tightrope
