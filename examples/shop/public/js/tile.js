// Draws a picture for a product that has no photograph: a motif chosen by its name, on a
// ground chosen by its code. The same product looks the same everywhere and always. Colours
// come from the style sheet, so that both colour schemes have their own.
import { svg } from "./dom.js";

// dot returns the path of a circle.
const dot = (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;

// box returns the path of a rectangle with round corners.
const box = (x, y, w, hgt, r = 0) =>
  `M${x + r} ${y}h${w - 2 * r}q${r} 0 ${r} ${r}v${hgt - 2 * r}q0 ${r} ${-r} ${r}` +
  `h${2 * r - w}q${-r} 0 ${-r} ${-r}v${2 * r - hgt}q0 ${-r} ${r} ${-r}Z`;

// A motif is a list of [kind, path] on a square of 100: a is the main colour, b the deep one, c
// the light one; la, lb and lc are lines in them.
const motifs = {
  heart: [["lb", "M50 14V34"], ["a", "M50 82C18 60 17 37 33 30C43 26 49 33 50 40C51 33 57 26 67 30C83 37 82 60 50 82Z"],
    ["lc", "M30 49C29 43 32 38 37 36"]],
  star: [["a", "M50 18 59.7 40.6 84 42.9 65.7 59 71 83 50 70.5 29 83 34.3 59 16 42.9 40.3 40.600Z"],
    ["c", dot(50, 54, 6)]],
  mug: [["la", "M66 46h7q9 0 9 9q0 10-10 10h-6"], ["a", box(27, 38, 41, 40, 7)], ["b", box(27, 52, 41, 8)],
    ["lb", "M39 30q-4-5 0-9t0-8M54 30q-4-5 0-9t0-8"]],
  bag: [["lb", "M38 44V34a12 12 0 0 1 24 0V44"], ["a", "M27 40H73L78 82H22Z"], ["c", dot(38, 48, 2.5) + dot(62, 48, 2.5)],
    ["b", "M24.5 68H75.500L76.3 75H23.700Z"]],
  cake: [["b", box(20, 76, 60, 5, 2.5)], ["a", box(26, 54, 48, 22, 4)], ["c", "M26 60q0-8 8-8h32q8 0 8 8q-4 6-8 0q-4 6-8 0q-4 6-8 0q-4 6-8 0q-4 6-8 0q-4 5-8 0Z"],
    ["a", box(36, 36, 28, 16, 4)], ["lb", "M50 36V26"], ["b", dot(50, 23, 4.5)]],
  clock: [["lb", "M33 78 28 85M67 78l5 7M50 27V20"], ["b", dot(31, 28, 9) + dot(69, 28, 9)], ["a", dot(50, 55, 30)], ["c", dot(50, 55, 22)],
    ["lb", "M50 41V55L60 61"]],
  lantern: [["lb", "M42 26a8 8 0 0 1 16 0"], ["b", "M34 34 50 25 66 34Z"], ["a", box(31, 34, 38, 42, 3)], ["c", box(37, 40, 26, 30, 2)],
    ["b", box(27, 76, 46, 6, 2) + box(46, 57, 8, 13, 1)], ["a", "M50 45q6 6 0 11q-6-5 0-11Z"]],
  candle: [["a", "M28 58H72L67 79Q66 82 62 82H38Q34 82 33 79Z"], ["c", "M28 58a22 5 0 1 0 44 0a22 5 0 1 0-44 0Z"],
    ["lb", "M50 58V50"], ["b", "M50 22q13 15 0 28q-13-13 0-28Z"], ["c", "M50 34q6 8 0 14q-6-6 0-14Z"]],
  bird: [["lb", "M45 72 42 83M55 72l3 11"], ["a", "M20 47Q44 46 50 34Q57 22 69 29Q75 33 74 40L84 44L74 47Q72 72 48 73Q28 73 20 47Z"],
    ["b", "M36 52Q52 48 60 54Q54 66 42 63Q37 60 36 52Z"], ["c", dot(66, 37, 2.5)]],
  flower: [["lb", "M50 58V88"], ["b", "M50 82Q63 82 66 70Q53 70 50 82Z"],
    ["a", dot(50, 25, 11) + dot(66, 36, 11) + dot(60, 54, 11) + dot(40, 54, 11) + dot(34, 36, 11)], ["c", dot(50, 41, 9)]],
  tree: [["b", box(45, 74, 10, 12)], ["a", "M50 16 66 38H59L74 58H66L80 76H20L34 58H26L41 38H34Z"],
    ["c", dot(50, 36, 3) + dot(42, 52, 3) + dot(58, 55, 3) + dot(36, 68, 3) + dot(52, 68, 3) + dot(66, 69, 3)]],
  tin: [["a", box(26, 38, 48, 44, 5)], ["b", box(23, 28, 54, 14, 5)], ["c", box(34, 52, 32, 18, 3)], ["la", "M40 61H60"]],
  bottle: [["b", box(42, 15, 16, 15, 3)], ["a", box(29, 27, 42, 59, 14)], ["c", "M50 70C36 60 36 50 43 47Q48 46 50 51Q52 46 57 47C64 50 64 60 50 70Z"]],
  envelope: [["a", box(18, 30, 64, 44, 5)], ["lc", "M20 34 50 56 80 34"], ["b", dot(50, 57, 7)]],
  bow: [["a", "M48 46Q22 22 18 44Q16 66 48 52Z"], ["a", "M52 46Q78 22 82 44Q84 66 52 52Z"], ["b", "M47 52 30 84 42 80 50 58 58 80 70 84 53 52Z"], ["c", dot(50, 49, 7)]],
  frame: [["a", box(22, 22, 56, 58, 4)], ["c", box(31, 31, 38, 40, 1)], ["b", "M31 71V62L42 50L50 58L58 47L69 60V71Z"], ["a", dot(58, 40, 4)]],
  parasol: [["lb", "M50 24V76a6 6 0 0 0 12 0"], ["a", "M16 54Q20 22 50 20Q80 22 84 54Q76 46 67 54Q59 46 50 54Q41 46 33 54Q24 46 16 54Z"],
    ["b", "M33 54Q36 28 50 20Q64 28 67 54Q59 46 50 54Q41 46 33 54Z"]],
  cutlery: [["b", "M33 18h3v20h3V18h3v20h3V18h3v26q0 6-5 7v31h-5V51q-5-1-5-7Z"], ["a", "M66 18q9 2 9 17t-6 17v30h-6V52q-6-2-6-17t9-17Z"]],
  jar: [["b", box(35, 19, 30, 10, 3)], ["a", "M38 29H62Q73 36 73 46V76Q73 83 66 83H34Q27 83 27 76V46Q27 36 38 29Z"], ["c", box(34, 50, 32, 20, 3)], ["la", "M41 60H59"]],
  sign: [["lb", "M50 16 30 36M50 16 70 36"], ["b", dot(50, 16, 3.5)], ["a", box(18, 36, 64, 38, 5)], ["lc", "M28 49H72M34 61H66"]],
  pencil: [["a", "M27 63 61 29 73 41 39 75Z"], ["b", "M61 29 67 23Q70 20 73 23L79 29Q82 32 79 35L73 41Z"], ["c", "M27 63 39 75 20 82Z"], ["b", "M22.5 73 29 79.5 20 82Z"]],
  cushion: [["a", "M24 26Q50 34 76 26Q68 52 76 78Q50 70 24 78Q32 52 24 26Z"], ["lc", "M36 38 64 66M64 38 36 66"], ["b", dot(50, 52, 5)]],
  bear: [["a", dot(31, 32, 11) + dot(69, 32, 11)], ["a", dot(50, 52, 29)], ["c", dot(50, 62, 12)], ["b", dot(40, 46, 3) + dot(60, 46, 3) + "M44 58H56L50 64Z"]],
  button: [["a", dot(50, 52, 31)], ["lc", dot(50, 52, 22)], ["c", dot(43, 45, 4) + dot(57, 45, 4) + dot(43, 59, 4) + dot(57, 59, 4)], ["lb", "M43 45 57 59M57 45 43 59"]],
  gem: [["a", "M30 30H70L84 47 50 84 16 47Z"], ["b", "M36 47 50 84 64 47Z"], ["c", "M30 30 36 47H64L70 30Z"]],
  bulb: [["lb", "M14 24Q50 46 86 24"], ["b", box(23, 30, 8, 9, 2) + box(46, 35, 8, 9, 2) + box(69, 30, 8, 9, 2)],
    ["a", "M27 39q11 16 0 25q-11-9 0-25Z M50 44q14 19 0 31q-14-12 0-31Z M73 39q11 16 0 25q-11-9 0-25Z"], ["c", dot(50, 60, 3)]],
  hanger: [["lb", "M50 38V33Q58 31 57 24Q55 17 48 19Q44 21 44 25"], ["la", "M50 38 82 62Q85 66 80 68H20Q15 66 18 62Z"], ["a", dot(50, 56, 7)]],
  plant: [["b", "M50 58Q50 34 72 26Q76 50 50 58Z"], ["a", "M50 60Q48 40 28 34Q26 56 50 60Z"], ["lb", "M50 66V52"], ["a", "M32 62H68L63 84H37Z"], ["c", box(29, 60, 42, 8, 2)]],
  plate: [["a", dot(50, 52, 33)], ["c", dot(50, 52, 23)], ["lb", dot(50, 52, 27.5)], ["b", "M50 64C38 55 39 46 45 45Q49 44 50 48Q51 44 55 45C61 46 62 55 50 64Z"]],
  house: [["a", box(26, 46, 48, 36)], ["b", "M18 50 50 20 82 50Z"], ["c", box(44, 60, 14, 22) + box(31, 55, 9, 9)]],
  teapot: [["la", "M72 46q13 0 11 13q-3 11-15 9"], ["a", "M30 44H70Q78 76 62 80H38Q22 76 30 44Z"], ["a", "M30 50Q20 50 14 38L8 40Q14 64 30 66Z"], ["b", "M32 44Q50 26 68 44Z"], ["b", dot(50, 30, 4)],
    ["c", dot(42, 60, 3) + dot(54, 66, 3) + dot(58, 55, 3)]],
  spot: [["a", dot(50, 52, 31)], ["c", dot(38, 42, 5) + dot(58, 38, 5) + dot(48, 56, 5) + dot(66, 57, 5) + dot(34, 62, 5) + dot(55, 72, 5)]],
  gift: [["a", box(24, 46, 52, 36, 3)], ["b", box(20, 36, 60, 13, 3)], ["c", box(45, 36, 10, 46)], ["lb", "M50 36Q28 34 33 23Q41 15 50 36Q59 15 67 23Q72 34 50 36"]],
};

// Which words of a name lead to which motif; the first that fits wins.
const words = [
  ["T-LIGHT|TLIGHT|CANDLE|VOTIVE|INCENSE", "candle"], ["LANTERN", "lantern"],
  ["HOT WATER|BOTTLE|WARMER|FLASK|POTION", "bottle"], ["HANGER", "hanger"], ["CLOCK|WATCH", "clock"],
  ["TEAPOT|TEA SET|TEA FOR|JUG|KETTLE", "teapot"], ["MUG|CUP(?!ID)|COFFEE|TEA ", "mug"],
  ["CAKE|BISCUIT|COOKIE|BAKING|PUDDING|JELLY|MUFFIN|PANTRY|RECIPE", "cake"],
  ["SHOPPER|BAG|PURSE|JUMBO|CHARLOTTE|TOTE|RUCKSACK|WASHBAG", "bag"], ["BUNTING|LIGHTS|BULB|LAMP|GARLAND", "bulb"],
  ["TREE|CHRISTMAS|ADVENT|SANTA|REINDEER|XMAS", "tree"], ["BIRD|OWL|DOVE|HEN|CHICK|DUCK|ROBIN|FEATHER|COCKEREL", "bird"],
  ["UMBRELLA|PARASOL", "parasol"], ["SPOON|FORK|CUTLERY|CHOPSTICK|KITCHEN|SCOOP|WHISK", "cutlery"],
  ["FRAME|PICTURE|PHOTO|MIRROR|CANVAS|PRINT", "frame"], ["RIBBON|BOW |TAPE|TIE |LACE|SCARF", "bow"],
  ["CARD|ENVELOPE|LETTER|NOTEBOOK|JOURNAL|BOOK|PAPER|WRAP|TISSUE|POST", "envelope"], ["SIGN|DOORMAT|HOOK|BOARD|NUMBER|CHALK|SLATE|MAGNET", "sign"],
  ["PENCIL|PEN |RULER|ERASER|RUBBER|CRAYON|STICKER|SCHOOL|SHARPENER|CHALK", "pencil"], ["CUSHION|QUILT|TOWEL|THROW|BLANKET|PILLOW", "cushion"],
  ["DOLL|TEDDY|RABBIT|BEAR|TOY|GAME|PUPPET|CHILD|BABY|KIDS|SPACEBOY|JIGSAW|SKITTLE|ANIMAL|CAT|DOG", "bear"],
  ["BUTTON|SEWING|PATCH|KNIT|THREAD|CROCHET", "button"], ["RING|NECKLACE|BRACELET|EARRING|JEWEL|BEAD|CRYSTAL|DIAMANTE|GEM|BROOCH|CHARM|GLASS", "gem"],
  ["GARDEN|PLANT|POT |HERB|SEED|WATERING|TROWEL|FORK", "plant"], ["PLATE|BOWL|DISH|TRAY|COASTER|PLACEMAT|SAUCER|ASHTRAY", "plate"],
  ["FLOWER|ROSE|DAISY|DAISIES|POPPY|POPPIES|TULIP|FLORAL|PETAL|LILY|BLOSSOM|WREATH|MUSHROOM|STRAWBERR", "flower"],
  ["HEART|LOVE|VALENTINE|SWEETHEART", "heart"], ["STAR|SNOW|ANGEL|FAIRY|MAGIC", "star"], ["JAR|JAM|HONEY|STORAGE|SUGAR|BATH|SOAP|OIL|BALM|SALT", "jar"],
  ["HOUSE|BUILDING|PLAYHOUSE|CABINET|DRAWER|HOME|COTTAGE|CHEST|SHELF", "house"], ["SPOT|DOT|BALL|ROUND|MARBLE", "spot"],
  ["TIN|BOX|CASE|CRATE|BASKET|BIN|TRUNK|CONTAINER", "tin"],
].map(([pattern, motif]) => [new RegExp(`\\b(?:${pattern})`), motif]);

function motifOf(name) {
  const capitals = `${name.toUpperCase()} `;
  return words.find(([pattern]) => pattern.test(capitals))?.[1] ?? "gift";
}

function hash(text) {
  let sum = 2166136261;
  for (const c of text) sum = Math.imul(sum ^ c.codePointAt(0), 16777619) >>> 0;
  return (sum ^ (sum >>> 15)) >>> 0;
}

const colours = [
  ["RED|RETROSPOT|CHERRY|POPPY|STRAWBERRY|ROUGE", 0], ["GREEN|SAGE|HOLLY|OLIVE", 1], ["BLUE|SKY|NAVY|DENIM|SPACEBOY", 2],
  ["YELLOW|GOLD|HONEY|MUSTARD|BEIGE|CREAM|IVORY", 3], ["PURPLE|LILAC|LAVENDER|VIOLET|AMETHYST", 4], ["ORANGE|COPPER|WOODEN|WOOD|RATTAN|BROWN", 5],
  ["MINT|TURQUOISE|TEAL|AQUA|JADE", 6], ["BLACK|SILVER|GREY|SLATE|ZINC|METAL", 7], ["PINK|ROSE", 8],
].map(([pattern, colour]) => [new RegExp(`\\b(?:${pattern})\\b`), colour]);

const shades = 9;

function colourOf(name, sum) {
  const capitals = name.toUpperCase();
  return colours.find(([pattern]) => pattern.test(capitals))?.[1] ?? sum % shades;
}

// Grounds: what lies behind the motif.
const grounds = [
  () => [["g", dot(50, 52, 43)]],
  () => [["g", [0, 1, 2, 3, 4, 5, 6].map((i) => box(i * 16 - 4, 0, 8, 100)).join("")]],
  () => {
    let d = "";
    for (let y = 0; y < 6; y++) for (let x = 0; x < 6; x++) d += dot(x * 20 + (y % 2 ? 10 : 0), y * 20, 3.2);
    return [["g", d]];
  },
  () => [["g", "M0 62Q25 54 50 62T100 62V100H0Z"]],
  () => [["g", [0, 1, 2, 3].map((i) => box(i * 26 + 4, 0, 13, 100) + box(0, i * 26 + 4, 100, 13)).join("")]],
];

// tile returns the drawing for a product.
export function tile({ code, name }) {
  const sum = hash(code);
  const parts = [...grounds[(sum >>> 8) % grounds.length](), ...motifs[motifOf(name)]];
  return svg("svg", {
    viewBox: "0 0 100 100", class: `tile shade-${colourOf(name, sum)}`,
    "aria-hidden": "true", focusable: "false",
  }, parts.map(([kind, d]) => svg("path", { class: kind, d })));
}
