// Questions from files, and the text that the model sees.
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "text_fixture.hpp"

namespace tightrope {
namespace {

using namespace text_fixture;

// A folder of its own for each test, gone after it.
class TextFile : public ::testing::Test {
 protected:
  TextFile() : folder_(std::filesystem::temp_directory_path() / ("text_data." + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    deck_.train = path("train.jsonl");
    deck_.heldout_questions = 0;
  }
  ~TextFile() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
  std::string only_prompt(const std::string& question = R"({"prompt": "sort 3 1 2", "answer": "1 2 3"})") const {
    write("train.jsonl", question);
    return load(deck_).train.at(0).prompt;
  }
  void write_numbered(int64_t n) const {
    std::ofstream file(path("train.jsonl"));
    for (int64_t i = 0; i < n; ++i)
      file << R"({"prompt": "q)" << i << R"(", "answer": "a"})"
           << "\n";
  }

  std::filesystem::path folder_;
  TextDataDeck deck_;
};

TEST_F(TextFile, ReadsItsFieldsAndCountsWhatItDrops) {
  deck_.prompt_field = "question";
  deck_.heldout = path("test.jsonl");
  deck_.max_prompt_tokens = 8;
  write("train.jsonl",
        "{\"question\": \"one\", \"answer\": \"1\", \"more\": [1]}\n"
        "\n"
        "{\"question\": \"two\", \"answer\": 2}\r\n"
        "{\"question\": \"one\", \"answer\": \"again\"}\n"
        "{\"question\": \"three\", \"answer\": 3.5}\n"
        "{\"question\": \"a long question\", \"answer\": \"4\"}");
  write("test.jsonl",
        "{\"question\": \"three\", \"answer\": \"3\"}\n{\"question\": \"\\u00fcber\\n\", \"answer\": \"5\"}\n");
  const TextData data = load(deck_);
  EXPECT_EQ(data.summary(),
            "2 training questions, 2 held out; dropped: 1 repeated, 1 also held out, 1 longer than max_prompt_tokens");
  EXPECT_EQ(data.train.at(0).answer, "1");
  EXPECT_EQ(data.train.at(0).source, path("train.jsonl") + ":1");
  EXPECT_EQ(data.train.at(1).answer, "2");
  EXPECT_EQ(data.train.at(1).source, path("train.jsonl") + ":3");
  EXPECT_EQ(data.heldout.at(1).prompt,
            "\xC3\xBC"
            "ber\n");
}

TEST_F(TextFile, HoldsOutAndShowsQuestionsOfItsOwn) {
  write_numbered(100);
  deck_.heldout_questions = 30;
  deck_.shots = 5;
  const TextData data = load(deck_);
  EXPECT_EQ(data.summary(), "65 training questions, 30 held out, 5 as examples");
  std::set<std::string> all = sources(data.train);
  all.merge(sources(data.heldout));
  all.merge(sources(data.shots));
  EXPECT_EQ(all.size(), 100U);
  EXPECT_EQ(sources(load(deck_).heldout), sources(data.heldout));
  deck_.shots_seed = 7;
  EXPECT_EQ(sources(load(deck_).heldout), sources(data.heldout));
  EXPECT_NE(sources(load(deck_).shots), sources(data.shots));
  deck_.seed = 2;
  EXPECT_NE(sources(load(deck_).heldout), sources(data.heldout));
  deck_.heldout_questions = 95;
  EXPECT_TRUE(
      says(failure(deck_), "'" + deck_.train + "' leaves no question to train on",
           "(100 distinct ones that are not held out, less 95 for data.heldout_questions and 5 for data.shots)"));
}

TEST_F(TextFile, FillsTheTemplate) {
  deck_.prompt_template = R"([MATH TASK] Problem:\n{prompt}\n\nSolution:\n)";
  EXPECT_EQ(only_prompt(), "[MATH TASK] Problem:\nsort 3 1 2\n\nSolution:\n");
  EXPECT_EQ(only_prompt(R"({"prompt": "{prompt} \\n", "answer": "1"})"),
            "[MATH TASK] Problem:\n{prompt} \\n\n\nSolution:\n");
  deck_.prompt_template = R"(\#\t\\n{prompt}, {prompt}:\s)";
  EXPECT_EQ(only_prompt(), "#\t\\nsort 3 1 2, sort 3 1 2: ");
  deck_.prompt_template = "{promt}";
  EXPECT_TRUE(says(failure(deck_), "data.template has no {prompt}"));
  for (const std::string escape : {"\\r", "\\"}) {
    deck_.prompt_template = "{prompt}" + escape;
    EXPECT_TRUE(says(failure(deck_), "data.template has the unknown escape '" + escape + "' ("));
  }
}

// What transformers' apply_chat_template(add_generation_prompt=True) gives with SmolLM2's own template.
TEST_F(TextFile, WritesTheTurnsOfChatml) {
  deck_.chat = "chatml";
  EXPECT_EQ(only_prompt(),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nsort 3 1 2<|im_end|>\n<|im_start|>assistant\n");
  deck_.system = "Be brief.";
  EXPECT_EQ(only_prompt(R"({"prompt": "  Two\nlines \n", "answer": "1"})"),
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\n  Two\nlines \n<|im_end|>\n<|im_start|>assistant\n");
  deck_.chat = "none";
  EXPECT_TRUE(says(failure(deck_), "data.system has no effect (data.chat is none)"));
}

TEST_F(TextFile, NamesTheLineThatIsWrong) {
  const std::string good = "{\"prompt\": \"p\", \"answer\": \"a\"}\n", second = deck_.train + ":2: ";
  const std::array<std::array<std::string, 3>, 7> cases = {{
      {"{\"prompt\": \"p\"", "the line is not JSON (column 15: ", "write one JSON object per line"},
      {"{\"prompt\": \"\xFF\", \"answer\": \"a\"}", "the line is not JSON (column 13: ", "UTF-8"},
      {"[1]", "the line is not a JSON object (it is of type array)", ""},
      {"{\"prompt\": \"p\", \"reply\": \"a\"}", "the field 'answer' is missing (the line has prompt, reply)",
       "set data.answer_field"},
      {"{}", "the field 'prompt' is missing (the line has no fields)", "set data.prompt_field"},
      {"{\"prompt\": [\"p\"], \"answer\": \"a\"}", "the field 'prompt' is not a text (it is of type array)", ""},
      {"{\"prompt\": \"p\", \"answer\": \" \"}", "the field 'answer' is empty", ""},
  }};
  for (const auto& [line, begin, part] : cases) {
    write("train.jsonl", good + line + "\n" + good);
    EXPECT_TRUE(says(failure(deck_), second + begin, part)) << line;
  }
}

TEST_F(TextFile, SaysWhatKeepsItFromReading) {
  EXPECT_TRUE(says(failure(deck_), "cannot open '" + deck_.train + "' (No such file", "correct data.train"));
  write("train.jsonl", "\n \n");
  EXPECT_TRUE(says(failure(deck_), "'" + deck_.train + "' holds no question (it is empty)"));
  deck_.max_prompt_tokens = 3;
  write_numbered(9);  // of two bytes each
  EXPECT_EQ(load(deck_).train.size(), 9U);
  deck_.max_prompt_tokens = 1;
  EXPECT_TRUE(
      says(failure(deck_), "no training question is left (0 training questions, 0 held out; dropped: 9 longer"));
  deck_.heldout = path("test.jsonl");
  deck_.max_prompt_tokens = 3;
  write("test.jsonl", "{\"prompt\": \"long\", \"answer\": \"a\"}");
  EXPECT_TRUE(says(failure(deck_), "no held-out question is left"));
  deck_.train = folder_;
  EXPECT_TRUE(says(failure(deck_), "cannot read '" + deck_.train + "'"));
}

// A deck trims values and cuts comments; the escapes get through.
TEST_F(TextFile, TakesItsTemplateFromADeck) {
  Schema schema;
  schema.add<TextDataDeck>("questions");
  const std::string text = "[data]\ntemplate = \\### {prompt}\\n\\# Answer:\\s   # a comment\ntrain = ";
  deck_ = Deck(schema, text + path("train.jsonl"), "deck.ini", {"--data.heldout_questions=0"}).get<TextDataDeck>();
  EXPECT_EQ(only_prompt(), "### sort 3 1 2\n# Answer: ");
}

TEST(TextData, WantsExactlyOneSource) {
  EXPECT_TRUE(says(failure({}), "no questions to train on"));
  TextDataDeck deck = generated("sort", 10, 1);
  deck.heldout = "test.jsonl";
  EXPECT_TRUE(says(failure(deck), "data.generator = sort and a file of questions are both set"));
}

}  // namespace
}  // namespace tightrope
