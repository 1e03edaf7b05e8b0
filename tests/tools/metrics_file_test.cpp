// metrics.h5: columns that come late, rows that lack a name, restarts, damaged files, a full disk.
#include "tightrope/run/metrics_file.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "../../src/run/metrics_columns.hpp"
#include "file_fixture.hpp"

namespace tightrope {
namespace {

namespace fs = std::filesystem;

class Metrics : public SharedFolder {
 protected:
  RunDescription description() const {
    RunDescription text;
    text.deck = "[world]\ntrainers = 1\n";
    text.task = "hypergrid";
    text.build = {"tightrope 0.1.0", "release"};
    text.libraries = {h5::library_version()};
    text.settings = {"osc=sm,ucx (set by tightrope)"};
    text.ranks = 4;
    text.searchers = 3;
    return text;
  }
  // The column, NaN read as -1 so that vectors compare.
  static std::vector<double> column(const h5::File& file, const std::string& name) {
    auto values = file.read<double>(name, 0, file.length(name));
    for (double& value : values) value = std::isnan(value) ? -1 : value;
    return values;
  }
  IoThread io_;
};

TEST_F(Metrics, ColumnsAppearWhenTheyAreFirstSeenAndHoldNanWhereAbsent) {
  {
    MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::create);
    file.row({{"step", 1}, {"loss", 2.5}}, {});
    file.row({{"step", 2}, {"log_z", 3}}, {{"staleness_histogram", {5, 6}}});
    file.row({{"step", 3}, {"loss", 1.5}, {"log_z", 3.5}}, {{"staleness_histogram", {7, 8}}});
    file.evaluation({{"step", 2}, {"tv", 0.5}}, {{"distribution", {0.25, 0.75}}});
    file.constants({{"log_z", 3.1}}, {{"target", {0.5, 0.5}}, {"shape", {2}}});
    file.constants({{"log_z", 99}}, {});  // kept as first given
    file.close();
  }
  const auto file = h5::File::open(own("m.h5"));
  EXPECT_EQ(column(file, "/training/step"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(column(file, "/training/loss"), (std::vector<double>{2.5, -1, 1.5}));
  EXPECT_EQ(column(file, "/training/log_z"), (std::vector<double>{-1, 3, 3.5}));
  EXPECT_EQ(file.length("/training/staleness_histogram"), 3);
  EXPECT_EQ(column(file, "/evaluation/tv"), (std::vector<double>{0.5}));
  EXPECT_EQ(file.read<double>("/exact/log_z"), (std::vector<double>{3.1}));
  EXPECT_EQ(file.read<double>("/exact/target"), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(file.text_attribute("/training/loss", "unit"), "nats^2");
  EXPECT_EQ(file.text_attribute("/", "format"), "tightrope-metrics");
  EXPECT_EQ(file.integer_attribute("/", "format_version"), 1);
  EXPECT_EQ(file.text_attribute("/", "build"), "tightrope 0.1.0\nrelease");
  EXPECT_EQ(file.integer_attribute("/", "searchers"), 3);
  EXPECT_EQ(file.text_attribute("/", "started").size(), 20u);
}

TEST_F(Metrics, ARestartCutsWhatCameAfterItAndGoesOn) {
  {
    MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::create);
    for (int step = 10; step <= 50; step += 10) file.row({{"step", step}, {"loss", step}}, {{"reuse_histogram", {1}}});
    file.evaluation({{"step", 10}, {"tv", 1}}, {});
    file.evaluation({{"step", 50}, {"tv", 5}}, {});
  }
  {
    MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::resume, 30);
    EXPECT_EQ(file.note(), "");
    file.row({{"step", 40}, {"loss", 400}, {"length", 7}}, {});
    file.evaluation({{"step", 40}, {"tv", 4}}, {});
  }
  const auto file = h5::File::open(own("m.h5"));
  EXPECT_EQ(column(file, "/training/step"), (std::vector<double>{10, 20, 30, 40}));
  EXPECT_EQ(column(file, "/training/loss"), (std::vector<double>{10, 20, 30, 400}));
  EXPECT_EQ(column(file, "/training/length"), (std::vector<double>{-1, -1, -1, 7}));
  EXPECT_EQ(file.length("/training/reuse_histogram"), 4);
  EXPECT_EQ(column(file, "/evaluation/step"), (std::vector<double>{10, 40}));
  EXPECT_TRUE(has(file.text_attribute("/", "restarts"), " step 30"));
}

TEST_F(Metrics, ResumeMakesAFileWhereThereIsNoneAndMovesADamagedOneAside) {
  { MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::resume, 7); }
  EXPECT_TRUE(fs::exists(own("m.h5")));
  fs::resize_file(own("m.h5"), 700);
  MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::resume, 7);
  EXPECT_TRUE(has(file.note(), "moved to '" + own("m.h5") + ".damaged-at-step-7'"));
  file.row({{"step", 8}}, {});
  file.close();
  EXPECT_EQ(h5::File::open(own("m.h5")).length("/training/step"), 1);
}

TEST_F(Metrics, IsReadableAfterEveryRow) {
  MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::create);
  for (int step = 1; step <= 300; ++step) {
    file.row({{"step", step}, {"loss", 1.0 / step}}, {{"staleness_histogram", {1, 2, 3}}});
    if (step % 60 != 0) continue;
    io_.run([&] {  // what a process sees that was killed now
      fs::copy_file(own("m.h5"), own("copy.h5"), fs::copy_options::overwrite_existing);
      EXPECT_EQ(column(h5::File::open(own("copy.h5")), "/training/step").back(), step);
    });
  }
}

TEST_F(Metrics, AFullDiskIsToldToTheNextCaller) {
  MetricsFile file(io_, own("m.h5"), description(), MetricsFile::Mode::create);
  std::string problem;
  {
    const FileLimit limit(20000);
    problem = message_of([&] {
      for (int step = 0; step < 2000; ++step) file.row({{"step", step}}, {{"distribution", {1, 2, 3, 4, 5, 6, 7}}});
      file.close();
    });
  }
  EXPECT_TRUE(has(problem, "m.h5"));
  EXPECT_TRUE(has(problem, "File too large"));
}

TEST_F(Metrics, EveryKnownColumnIsKnownOnce) {
  std::map<std::string, int> times;
  for (const auto& known : metrics_columns()) {
    EXPECT_EQ(++times[known.name], 1) << known.name;
    EXPECT_NE(std::string(known.help), "") << known.name;
  }
}

}  // namespace
}  // namespace tightrope
