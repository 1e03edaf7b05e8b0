#pragma once
// The one registry of tasks: adding an environment is one source file and one row in registry.cpp.
#include <memory>
#include <span>

#include "tightrope/core/deck.hpp"
#include "tightrope/core/task.hpp"

namespace tightrope {

struct TaskDeck {
  static constexpr const char* section = "task";
  std::string kind = "hypergrid";
  void fields(FieldList& f);
};

struct TaskEntry {
  const char* name;
  void (*declare)(Schema&);  // adds the task's own sections
  std::unique_ptr<Task> (*make)(const Deck&);
};

std::span<const TaskEntry> tasks();
void declare_tasks(Schema& schema);  // [task], [policy], [evaluation] and every task's own sections
std::unique_ptr<Task> make_task(const Deck& deck);

}  // namespace tightrope
