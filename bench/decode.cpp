// Sampling from a language model: new tokens per second and thread, prompt 32, 64 new tokens, whole vocabulary,
// temperature 1.  usage: bench_decode MODEL_FOLDER [--threads 1] [--precision bfloat16|float32]
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tightrope/base/check.hpp"
#include "tightrope/core/rng.hpp"
#include "tightrope/policies/text_sampler.hpp"

namespace tightrope {
namespace {

constexpr int64_t kPrompt = 32, kNew = 64;
constexpr int kRepeats = 5;

// Processor time of one thread, which other work on the machine disturbs least; with more threads the clock's.
double seconds() {
  if (at::get_num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A file of float32 tensors: length of the header, header, values.
std::vector<float> read_weights(const std::string& folder, const DecoderConfig& config) {
  std::ifstream file(folder + "/model.safetensors", std::ios::binary);
  uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  VALIDATE(file.good(), folder + " has no model.safetensors", "the weights are read from it", "name a model's folder");
  std::string header(length, ' ');
  file.read(header.data(), static_cast<std::streamsize>(length));
  const auto tensors = nlohmann::json::parse(header);
  std::vector<float> flat;
  for (const TensorShape& parameter : decoder_parameters(config)) {
    const auto& tensor = tensors.at(parameter.name);
    VALIDATE(tensor.at("dtype") == "F32", parameter.name + " is not float32", "nothing else is read here",
             "convert the model");
    const auto begin = tensor.at("data_offsets").at(0).get<uint64_t>(),
               end = tensor.at("data_offsets").at(1).get<uint64_t>();
    file.seekg(static_cast<std::streamoff>(sizeof length + length + begin));
    flat.resize(flat.size() + (end - begin) / sizeof(float));
    file.read(reinterpret_cast<char*>(flat.data() + flat.size()) - (end - begin),
              static_cast<std::streamsize>(end - begin));
  }
  return flat;
}

double best(std::vector<double> times) { return *std::ranges::min_element(times); }
double median(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

// Every sequence has a prompt of its own, which shares nothing with the others.
void measure(TextSampler& sampler, const DecoderConfig& config, int64_t parameters, int64_t sequences) {
  TextSampler::Prompts prompts;
  std::vector<int64_t> rows;
  for (int64_t s = 0; s < sequences; ++s) {
    rows.push_back(s);
    prompts.emplace_back();
    for (int64_t i = 0; i < kPrompt; ++i) prompts.back().push_back((s * 7919 + i * 104729 + 17) % config.vocabulary);
  }
  const auto uniforms = [](int64_t row, int64_t position) {
    return uniform(1, Stream::action, static_cast<uint64_t>(row), static_cast<uint32_t>(position));
  };
  SampleOptions options;
  options.max_new = kNew;
  std::vector<double> prefills, decodes;
  for (int repeat = 0; repeat <= kRepeats; ++repeat) {
    double first = 0;  // when the prompts were through and each had its first token
    int64_t tokens = 0;
    const double start = seconds();
    sampler.generate(prompts, rows, options, uniforms, [&](int64_t, int64_t) {
      if (++tokens == sequences) first = seconds();
    });
    if (repeat == 0) continue;
    prefills.push_back(first - start);
    decodes.push_back(seconds() - first);
  }
  const auto n = static_cast<double>(sequences), later = n * (kNew - 1);
  const double decode = median(decodes), prefill = median(prefills);
  std::printf("%3lld sequences: decode %.1f tokens/s (best %.1f), prefill %.0f tokens/s (best %.0f), in all %.1f;",
              static_cast<long long>(sequences), later / decode, later / best(decodes), n * kPrompt / prefill,
              n * kPrompt / best(prefills), n * kNew / (decode + prefill));
  std::printf(" %.1f GB/s, %.1f GF/s\n", 1e-9 * (kNew - 1) * static_cast<double>(sampler.memory_bytes()) / decode,
              2e-9 * static_cast<double>(parameters) * later / decode);
}

void run(const std::string& folder, Precision precision) {
  const DecoderConfig config = read_decoder_config(folder);
  const std::vector<float> flat = read_weights(folder, config);
  const auto parameters = static_cast<int64_t>(flat.size());
  TextSampler sampler(config, precision);
  const at::Tensor weights = at::from_blob(const_cast<float*>(flat.data()), {parameters});
  sampler.load(weights);
  const double start = seconds();
  sampler.load(weights);
  std::printf("%lld parameters, %lld MB, loaded in %.3f s\n", static_cast<long long>(parameters),
              static_cast<long long>(sampler.memory_bytes() >> 20), seconds() - start);
  for (const int64_t sequences : {1, 16, 64}) measure(sampler, config, parameters, sequences);
}

}  // namespace
}  // namespace tightrope

int main(int argc, char** argv) {
  std::string folder, precision = "bfloat16";
  int threads = 1;
  for (int i = 1; i < argc; ++i)
    if (i + 1 < argc && std::strcmp(argv[i], "--threads") == 0)
      threads = std::atoi(argv[++i]);
    else if (i + 1 < argc && std::strcmp(argv[i], "--precision") == 0)
      precision = argv[++i];
    else
      folder = argv[i];
  if (folder.empty() || threads < 1 || (precision != "bfloat16" && precision != "float32")) {
    std::fputs("usage: bench_decode MODEL_FOLDER [--threads 1] [--precision bfloat16|float32]\n", stderr);
    return 2;
  }
  at::set_num_threads(threads);
  tightrope::run(folder, precision == "float32" ? tightrope::Precision::float32 : tightrope::Precision::bfloat16);
}
