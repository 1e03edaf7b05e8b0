#include "tightrope/policies/text_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "tightrope/base/check.hpp"
#include "tightrope/policies/cached_decoder_cpu.hpp"
#include "tightrope/policies/parallel_cpu.hpp"
#include "tightrope/policies/token_draw_cpu.hpp"

namespace tightrope {
namespace {

constexpr int64_t kChunk = 128;     // prompt tokens at once
constexpr int64_t kLogitRows = 64;  // rows of logits at once

void check(const SampleOptions& options) {
  const auto positive = [](double value, const char* name) {
    VALIDATE(value > 0 && std::isfinite(value), std::string(name) + " is " + std::to_string(value),
             "it divides logits or is a share of the probability", "give a positive number");
  };
  positive(options.temperature, "the temperature");
  positive(options.explore_temperature, "the temperature of exploration");
  positive(options.top_p, "top_p");
  VALIDATE(options.top_p <= 1, "top_p is " + std::to_string(options.top_p), "no set of tokens has more than 1",
           "give a number in (0, 1]");
  VALIDATE(options.max_new > 0, "max_new is " + std::to_string(options.max_new), "a completion has a token at least",
           "give a positive number");
}

void check(const TextSampler::Prompts& prompts, int64_t context, int64_t vocabulary) {
  for (size_t p = 0; p < prompts.size(); ++p) {
    const std::string name = "prompt " + std::to_string(p), length = std::to_string(prompts[p].size());
    VALIDATE(!prompts[p].empty(), name + " is empty", "the first token needs something to follow", "begin with bos");
    VALIDATE(static_cast<int64_t>(prompts[p].size()) < context, name + " has " + length + " tokens",
             "the context holds " + std::to_string(context) + ", of prompt and completion together",
             "shorten it, or leave it out");
    for (const int64_t token : prompts[p])
      VALIDATE(token >= 0 && token < vocabulary, name + " holds the token " + std::to_string(token),
               "the model knows 0 to " + std::to_string(vocabulary - 1), "use the tokenizer that belongs to the model");
  }
}

// How many tokens all prompts begin with; one less than the shortest has, at most, so that each ends in tokens of its
// own.
int64_t common_tokens(const TextSampler::Prompts& prompts) {
  size_t common = prompts[0].size() - 1;
  for (const auto& prompt : prompts) {
    common = std::min(common, prompt.size() - 1);
    const auto end = prompts[0].begin() + static_cast<int64_t>(common);
    common = static_cast<size_t>(std::mismatch(prompts[0].begin(), end, prompt.begin()).first - prompts[0].begin());
  }
  return static_cast<int64_t>(common);
}

// One call of generate.
class Generation {
 public:
  Generation(CachedDecoder& decoder, const DecoderConfig& config, const TextSampler::Prompts& prompts,
             std::span<const int64_t> rows, const SampleOptions& options, const TextSampler::Uniform& uniform,
             const TextSampler::OnToken& on_token)
      : decoder_(decoder),
        config_(config),
        prompts_(prompts),
        rows_(rows),
        options_(options),
        context_(options.context > 0 ? std::min(options.context, config.context) : config.context),
        uniform_(uniform),
        on_token_(on_token),
        out_(rows.size()) {
    check(options);
    check(prompts, context_, config.vocabulary);
    EXPECT(std::ranges::all_of(rows, [&](int64_t p) { return p >= 0 && p < std::ssize(prompts); }));
    order_.resize(rows.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::stable_sort(order_, {}, [&](int64_t row) { return rows_[row]; });
  }

  std::vector<Completion> run() {
    if (rows_.empty()) return {};
    prefill();
    draw_tokens(hidden_);
    while (!live_.empty()) next_tokens();
    return std::move(out_);
  }

 private:
  // Rows that have the same tokens so far, and so draw from the same logits.
  struct Branch {
    std::vector<int64_t> rows;
    std::shared_ptr<Segment> text;
  };
  struct Wanted {
    int64_t row;
    const float* logits;
  };

  const std::vector<int64_t>& prompt_of(int64_t row) const { return prompts_[static_cast<size_t>(rows_[row])]; }

  // What all prompts begin with, then the rest of each.
  void prefill() {
    const int64_t common = common_tokens(prompts_);
    std::shared_ptr<Segment> beginning;
    hidden_.resize(prompts_.size() * static_cast<size_t>(config_.hidden));
    if (common > 0) {
      beginning = append(prompts_[0], 0, common, nullptr);
      feed();
    }
    for (size_t p = 0; p < prompts_.size(); ++p) {
      live_.push_back({{}, append(prompts_[p], common, static_cast<int64_t>(prompts_[p].size()), beginning)});
      last_of_.back() = static_cast<int64_t>(p);
    }
    for (const int64_t row : order_) live_[static_cast<size_t>(rows_[row])].rows.push_back(row);
    feed();
  }

  std::shared_ptr<Segment> append(const std::vector<int64_t>& prompt, int64_t from, int64_t to,
                                  const std::shared_ptr<Segment>& before) {
    auto text = std::make_shared<Segment>(decoder_.shape(), before, to - from);
    for (int64_t i = from; i < to; ++i) next_.push_back({prompt[static_cast<size_t>(i)], text.get()});
    last_of_.resize(next_.size(), -1);
    return text;
  }

  // Takes next_; keeps the hidden row behind the last token of a prompt.
  void feed() {
    const auto width = config_.hidden, count = static_cast<int64_t>(next_.size());
    for (int64_t from = 0; from < count; from += kChunk) {
      const int64_t size = std::min(kChunk, count - from);
      const auto hidden = decoder_.forward(std::span(next_).subspan(from, size));
      for (int64_t i = 0; i < size; ++i)
        if (last_of_[from + i] >= 0)
          std::copy_n(&hidden[i * width], width, &hidden_[static_cast<size_t>(last_of_[from + i] * width)]);
    }
    next_.clear();
    last_of_.clear();
  }

  void next_tokens() {
    for (const Branch& each : live_) next_.push_back({out_[each.rows.front()].tokens.back(), each.text.get()});
    const auto hidden = decoder_.forward(next_);
    next_.clear();
    draw_tokens(hidden);
  }

  // hidden (live_, H): behind the last token of each.
  void draw_tokens(std::span<const float> hidden) {
    const std::vector<Branch> texts = std::exchange(live_, {});
    for (int64_t from = 0; from < std::ssize(texts); from += kLogitRows) {
      const auto some = std::span(texts).subspan(from, std::min(kLogitRows, std::ssize(texts) - from));
      fill_logits(&hidden[from * config_.hidden], std::ssize(some));
      for (int64_t i = 0; i < std::ssize(some); ++i)
        for (const int64_t row : some[i].rows) wanted_.push_back({row, &logits_[i * config_.vocabulary]});
      const std::vector<int64_t> going_on = draw();
      auto next = going_on.begin();  // a subsequence of the rows
      for (const Branch& text : some) {
        std::vector<int64_t> rows;
        for (const int64_t row : text.rows)
          if (next != going_on.end() && *next == row) rows.push_back(*next++);
        go_on(std::move(rows), text.text);
      }
    }
  }

  // The rows of one text, each with its new token: those with the same token stay together.
  void go_on(std::vector<int64_t> rows, const std::shared_ptr<Segment>& text) {
    const auto token = [&](int64_t row) { return out_[row].tokens.back(); };
    std::ranges::stable_sort(rows, {}, token);
    const bool one = !rows.empty() && token(rows.front()) == token(rows.back()) && text->has_room();
    for (auto first = rows.begin(); first != rows.end();) {
      const auto last = std::find_if(first, rows.end(), [&](int64_t row) { return token(row) != token(*first); });
      const int64_t room = context_ - static_cast<int64_t>(prompt_of(*first).size());
      const int64_t fed = std::min(options_.max_new, room) - std::ssize(out_[*first].tokens);  // never the last
      live_.push_back({{first, last}, one ? text : std::make_shared<Segment>(decoder_.shape(), text, fed)});
      first = last;
    }
  }

  void fill_logits(const float* hidden, int64_t rows) {
    logits_.resize(static_cast<size_t>(std::max(rows * config_.vocabulary, std::ssize(logits_))));
    decoder_.logits(hidden, rows, logits_.data());
  }

  // Takes wanted_; returns those rows that go on, in order.
  std::vector<int64_t> draw() {
    const auto count = static_cast<int64_t>(wanted_.size());
    std::vector<double> u(wanted_.size());
    std::vector<DrawnToken> drawn(wanted_.size());
    if (!options_.greedy)
      for (int64_t i = 0; i < count; ++i) u[i] = uniform_(wanted_[i].row, std::ssize(out_[wanted_[i].row].tokens));
    const TokenLaw law{options_.temperature, options_.explore_temperature, options_.top_p, options_.greedy};
    parallel_pieces(count, items_worth_a_thread(16 * config_.vocabulary), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        drawn[i] = draw_token({wanted_[i].logits, static_cast<size_t>(config_.vocabulary)}, law, u[i]);
    });
    std::vector<int64_t> going_on;
    for (int64_t i = 0; i < count; ++i)
      if (take(wanted_[i].row, drawn[i])) going_on.push_back(wanted_[i].row);
    wanted_.clear();
    return going_on;
  }

  // Whether the row goes on.
  bool take(int64_t row, const DrawnToken& drawn) {
    VALIDATE(std::isfinite(drawn.entropy), "the model's logits are not numbers",
             "its weights, or what they make of this text, overflow or are not numbers",
             "look at the loss and the gradient norm before this, and lower the learning rate");
    Completion& out = out_[row];
    out.tokens.push_back(drawn.token);
    out.log_policy.push_back(static_cast<float>(drawn.log_policy));
    out.log_behaviour += drawn.log_behaviour;
    out.entropy += drawn.entropy;
    out.stopped = std::ranges::find(options_.stops, drawn.token) != options_.stops.end();
    if (on_token_) on_token_(row, drawn.token);
    const auto length = std::ssize(out.tokens);
    return !out.stopped && length < options_.max_new && std::ssize(prompt_of(row)) + length < context_;
  }

  CachedDecoder& decoder_;
  const DecoderConfig& config_;
  const TextSampler::Prompts& prompts_;
  std::span<const int64_t> rows_;
  const SampleOptions& options_;
  int64_t context_;
  const TextSampler::Uniform& uniform_;
  const TextSampler::OnToken& on_token_;
  std::vector<Completion> out_;

  std::vector<int64_t> order_;    // rows by prompt, so that those that share one are neighbours
  std::vector<float> hidden_;     // (prompts, H), behind the last token of each
  std::vector<NextToken> next_;   // to be fed
  std::vector<int64_t> last_of_;  // per token of next_: the prompt that it is the last of, or -1
  std::vector<Branch> live_;      // what goes on
  std::vector<float> logits_;     // (<= kLogitRows, V)
  std::vector<Wanted> wanted_;    // rows that draw, and from what
};

}  // namespace

TextSampler::TextSampler(const DecoderConfig& config, Precision precision)
    : config_(config), decoder_(std::make_unique<CachedDecoder>(config, precision)) {}

TextSampler::~TextSampler() = default;

void TextSampler::load(const at::Tensor& flat) {
  EXPECT(flat.is_contiguous() && flat.scalar_type() == at::kFloat);
  decoder_->load({flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())});
}

int64_t TextSampler::memory_bytes() const { return decoder_->memory_bytes(); }

std::vector<Completion> TextSampler::generate(const Prompts& prompts, std::span<const int64_t> rows,
                                              const SampleOptions& options, const Uniform& uniform,
                                              const OnToken& on_token) {
  return Generation(*decoder_, config_, prompts, rows, options, uniform, on_token).run();
}

}  // namespace tightrope
