//! Calls on real modules and what each of them answers. Every expected text was read off a
//! program of its own that `go run` ran on amd64: `fmt.Print(CALL)` with the module required at
//! that version. The rule of fmt.Print: operands get a space between them only where neither is a
//! string, and a nil error prints `<nil>`.

use crate::case::{Case, bytes, case, text};

pub(crate) const GEOHASH_2017: &str = "v0.0.0-20171122090728-e5eae5659af2";

pub(crate) const CALLS: &[Case] = &[
    // The README's call: newest release, a pinned one, and a commit from before Go had modules.
    case(GEOHASH, "Encode(100.1, 80.9)", text("jbcs8zmd6shp")),
    case(GEOHASH, "geohash.Encode(100.1, 80.9)", text("jbcs8zmd6shp")).at("v0.10.0"),
    case("https://github.com/mmcloughlin/geohash", "Encode(100.1, 80.9)", text("jbcs8zmd6shp"))
        .at("v0.10.0"),
    case("github.com/mmcloughlin/geohash.git", "Encode(100.1, 80.9)", text("jbcs8zmd6shp"))
        .at("v0.10.0"),
    case(
        "https://github.com/mmcloughlin/geohash.git",
        "geohash.Encode(100.1, 80.9)",
        text("jbcs8zmd6shp"),
    ),
    case(GEOHASH, "Encode(100.1, 80.9)", text("jcc92ytsf8kn")).at(GEOHASH_2017),
    // Several results, a slice, an error that is not nil.
    case(GEOHASH, r#"Decode("ezs42")"#, text("42.59 -5.62")).at("v0.10.0"),
    case(
        GEOHASH,
        r#"Neighbors("ezs42")"#,
        text("[ezs48 ezs49 ezs43 ezs41 ezs40 ezefp ezefr ezefx]"),
    )
    .at("v0.10.0"),
    case(GEOHASH, r#"Validate("a!")"#, text("invalid character 'a'")).at("v0.10.0"),
    // Text about numbers and times.
    case(HUMANIZE, "Bytes(82854982)", text("83 MB")).at("v1.0.1"),
    case(HUMANIZE, "Comma(-6582491)", text("-6,582,491")),
    case(HUMANIZE, r#"humanize.ParseBytes("42 MB")"#, text("42000000 <nil>")).at("v1.0.1"),
    case(
        HUMANIZE,
        r#"RelTime(time.Unix(0, 0), time.Unix(5*3600, 0), "ago", "from now")"#,
        text("5 hours ago"),
    )
    .at("v1.0.1"),
    // A package below the module's root.
    case(
        "github.com/dustin/go-humanize/english",
        r#"OxfordWordSeries([]string{"ham", "spam", "eggs"}, "and")"#,
        text("ham, spam, and eggs"),
    )
    .at("v1.0.1"),
    // Arrays with a String method, errors, standard-library readers, ambiguous packages.
    case(
        UUID,
        r#"NewSHA1(NameSpaceDNS, []byte("example.com"))"#,
        text("cfbff0d1-9375-5685-968c-48ce8b15ae17"),
    )
    .at("v1.6.0"),
    case(
        UUID,
        r#"Parse("no")"#,
        text("00000000-0000-0000-0000-000000000000 invalid UUID length: 2"),
    )
    .at("v1.6.0"),
    case(
        UUID,
        r#"NewRandomFromReader(strings.NewReader("0123456789abcdef"))"#,
        text("30313233-3435-4637-b839-616263646566 <nil>"),
    )
    .at("v1.6.0"),
    case(
        UUID,
        "NewRandomFromReader(rand.New(rand.NewSource(1)))",
        text("52fdfc07-2182-454f-963f-5f0f9a621d72 <nil>"),
    )
    .at("v1.6.0")
    .imports(&["math/rand"]),
    case(
        UUID,
        r#"ParseBytes(bytes.TrimSpace([]byte(" 6ba7b810-9dad-11d1-80b4-00c04fd430c8 ")))"#,
        text("6ba7b810-9dad-11d1-80b4-00c04fd430c8 <nil>"),
    )
    .at("v1.6.0"),
    case(
        UUID,
        "Must(\n\tParse(\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"),\n).String()",
        text("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    )
    .at("v1.6.0"),
    // Chained methods; variadic arguments and a type of the package inside the call.
    case(
        DECIMAL,
        r#"NewFromFloat(1.5).Add(RequireFromString("2.25")).Mul(NewFromInt(2)).StringFixed(3)"#,
        text("7.500"),
    )
    .at("v1.4.0"),
    case(DECIMAL, "Sum(NewFromInt(1), []Decimal{NewFromInt(2), NewFromInt(3)}...)", text("6"))
        .at("v1.4.0"),
    // Packages that import third-party modules.
    case(
        "github.com/gosimple/slug",
        r#"Make("Hellö Wörld хелло ворлд")"#,
        text("hello-world-khello-vorld"),
    )
    .at("v1.15.0"),
    case("github.com/mattn/go-runewidth", r#"StringWidth("日本語")"#, text("6")).at("v0.0.16"),
    case(
        "github.com/mattn/go-runewidth",
        r#"runewidth.Truncate("日本語日本語", 7, "…")"#,
        text("日本語…"),
    )
    .at("v0.0.16"),
    case(
        "github.com/tidwall/gjson",
        "Get(`{\n  \"name\": {\"last\": \"Prichard\"}\n}`, \"name.last\").String()",
        text("Prichard"),
    )
    .at("v1.17.1"),
    case(
        "github.com/hashicorp/go-multierror",
        r#"Append(errors.New("disk"), errors.New("net"))"#,
        text("2 errors occurred:\n\t* disk\n\t* net\n\n"),
    )
    .at("v1.1.1"),
    case(
        "github.com/stretchr/testify/assert",
        r#"ObjectsAreEqual([]byte("a"), bytes.ToLower([]byte("A")))"#,
        text("true"),
    )
    .at("v1.8.4"),
    // Major versions, one of them behind a vanity path and with assembly in another.
    case(
        "github.com/Masterminds/semver/v3",
        r#"MustParse("1.2.3").IncMinor().String()"#,
        text("1.3.0"),
    )
    .at("v3.2.1"),
    case("github.com/cespare/xxhash/v2", r#"Sum64String("hello")"#, text("2794345569481354659"))
        .at("v2.3.0"),
    case(
        "github.com/golang-jwt/jwt/v5",
        r#"NewWithClaims(SigningMethodHS256, MapClaims{"sub": "42"}).SignedString([]byte("key"))"#,
        text(SIGNED),
    )
    .at("v5.2.1"),
    case("rsc.io/quote/v3", "Concurrency()", text("Concurrency is not parallelism.")).at("v3.1.0"),
    // Repositories without go.mod.
    case("github.com/pkg/errors", r#"Wrap(New("disk"), "save")"#, text("save: disk")).at("v0.9.1"),
    case(
        "github.com/pmezard/go-difflib/difflib",
        r#"GetUnifiedDiffString(UnifiedDiff{
	A:        SplitLines("one\ntwo\n"),
	B:        SplitLines("one\nthree\n"),
	FromFile: "a",
	ToFile:   "b",
	Context:  1,
})"#,
        text("--- a\n+++ b\n@@ -1,3 +1,3 @@\n one\n-two\n+three\n \n<nil>"),
    )
    .at("v1.0.0"),
    case("github.com/kballard/go-shellquote", "Split(`a 'b c' d`)", text("[a b c d] <nil>"))
        .at("v0.0.0-20180428030007-95032a82bc51"),
    // No result: the answer is what it printed.
    case(
        "github.com/davecgh/go-spew/spew",
        "Dump([]int{1, 2})",
        text("([]int) (len=2 cap=2) {\n (int) 1,\n (int) 2\n}\n"),
    )
    .at("v1.1.1"),
    // Output first, result after it.
    case(
        "github.com/yuin/goldmark",
        r##"Convert([]byte("# Hi *there*"), os.Stdout)"##,
        text("<h1>Hi <em>there</em></h1>\n<nil>"),
    )
    .at("v1.7.4"),
    // Generic functions; packages that are called like one of the standard library.
    case(LO, "Map([]int{1, 2, 3}, func(x, _ int) int { return 2 * x })", text("[2 4 6]"))
        .at("v1.39.0"),
    case(
        LO,
        "lo.Reduce([]string{\"a\", \"b\"}, func(sum, s string, i int) string {\n\t\
         if i > 0 {\n\t\tsum += \"-\"\n\t}\n\treturn sum + s\n}, \"\")",
        text("a-b"),
    )
    .at("v1.39.0"),
    case(LO, "Map(rand.Perm(1), func(x, _ int) int { return x + 41 })", text("[41]"))
        .at("v1.39.0")
        .imports(&["math/rand/v2"]),
    case(
        "golang.org/x/exp/slices",
        r#"slices.BinarySearch([]string{"a", "b", "c"}, "b")"#,
        text("1 true"),
    )
    .at(EXP),
    case("golang.org/x/exp/maps", r#"maps.Keys(map[string]int{"one": 1})"#, text("[one]")).at(EXP),
    // A package named otherwise than its path ends; bytes print as numbers.
    case("gopkg.in/yaml.v3", r#"Marshal(map[string]int{"a": 1})"#, text("[97 58 32 49 10] <nil>"))
        .at("v3.0.1"),
    case(
        "gopkg.in/yaml.v3",
        r#"yaml.NewEncoder(os.Stdout).Encode(map[string][]int{"b": {1, 2}})"#,
        text("b:\n    - 1\n    - 2\n<nil>"),
    )
    .at("v3.0.1"),
    case(
        "gopkg.in/yaml.v3",
        r#"NewDecoder(strings.NewReader("a: [")).Decode(&Node{})"#,
        text("yaml: line 1: did not find expected node content"),
    )
    .at("v3.0.1"),
    // Unicode, another package of the same module in `imports`, and bytes that are not UTF-8.
    case(
        "golang.org/x/text/cases",
        r#"Title(language.English).String("hello wörld ǆ")"#,
        text("Hello Wörld ǅ"),
    )
    .at("v0.14.0")
    .imports(&["golang.org/x/text/language"]),
    case("golang.org/x/text/unicode/norm", r#"NFC.String("e\u0301\u0302")"#, text("é\u{302}"))
        .at("v0.14.0"),
    case(
        "golang.org/x/text/encoding/charmap",
        r#"ISO8859_1.NewEncoder().String("café")"#,
        bytes(b"caf\xe9<nil>"),
    )
    .at("v0.14.0"),
    // Deadlines and durations from the standard library.
    case("golang.org/x/time/rate", "Every(2 * time.Second)", text("0.5")).at("v0.5.0"),
    case(
        "golang.org/x/sync/semaphore",
        "NewWeighted(3).Acquire(context.Background(), 2)",
        text("<nil>"),
    )
    .at("v0.7.0"),
    // Small ones from other corners.
    case("github.com/agnivade/levenshtein", r#"ComputeDistance("kitten", "sitting")"#, text("3"))
        .at("v1.1.1"),
    case("github.com/rivo/uniseg", r#"GraphemeClusterCount("🇩🇪🏳️‍🌈!")"#, text("3")).at("v0.4.7"),
    case("github.com/mr-tron/base58", r#"Encode([]byte("hello world"))"#, text("StV1DL6CwTryKyV"))
        .at("v1.2.0"),
    case(
        "github.com/spaolacci/murmur3",
        r#"Sum128([]byte("hello"))"#,
        text("14688674573012802306 6565844092913065241"),
    )
    .at("v1.1.0"),
];

pub(crate) const GEOHASH: &str = "github.com/mmcloughlin/geohash";
const HUMANIZE: &str = "github.com/dustin/go-humanize";
const UUID: &str = "github.com/google/uuid";
const DECIMAL: &str = "github.com/shopspring/decimal";
const LO: &str = "github.com/samber/lo";
const EXP: &str = "v0.0.0-20230905200255-921286631fa9";
const SIGNED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.\
    fpPNQIqCuY1McM_N0ICw8f7Kabg9NAdAVkcu_P4Fyyw<nil>";
