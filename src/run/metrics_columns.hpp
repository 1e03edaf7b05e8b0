#pragma once
// The known columns of metrics.h5 with their units, once.  docs/hdf5.md lists the same; a test compares them.
#include <span>
#include <string>

namespace tightrope {

struct MetricsColumn {
  const char* name;
  const char* unit;
  const char* help;
};

std::span<const MetricsColumn> metrics_columns();

// The column of that name; an unknown one has no unit and no help.
MetricsColumn find_metrics_column(const std::string& name);

}  // namespace tightrope
