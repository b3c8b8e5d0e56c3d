//! Values of any type, made by the shape that the type itself tells serde: a type that gets a new
//! field or variant is generated with it, and nobody can forget one.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

/// Items of a list or map: enough for none, one and several.
const ITEMS_MAX: u32 = 3;

/// Fields that hold git's object ids, which no other text is taken for.
const OBJECT_IDS: [&str; 9] = [
    "base", "onto", "commit", "tree", "head", "suspects", "from", "to", "merged",
];

/// Draws one value.
pub struct Shape {
    random: StdRng,
    /// The variant of the outermost enum, so that each can be asked for.
    variant: Option<u32>,
    /// How many variants that enum has.
    variants: u32,
    /// The field that is being made.
    field: &'static str,
}

/// Any value of this type, the same for the same seed.
///
/// # Panics
/// When a value of the type cannot be made without knowing more.
pub fn any<T: DeserializeOwned>(seed: u64) -> T {
    let mut shape = Shape::new(seed);
    T::deserialize(&mut shape).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

/// Any value of this enum, the variants by turns; and how many there are.
pub fn any_variant<T: DeserializeOwned>(seed: u64) -> (T, u32) {
    // The first pass only counts.
    let mut shape = Shape::new(seed);
    shape.variant = Some(0);
    let _ = T::deserialize(&mut shape);
    let variants = shape.variants;
    assert!(variants > 0, "this is no enum");
    let mut shape = Shape::new(seed);
    shape.variant = u32::try_from(seed % u64::from(variants)).ok();
    let value = T::deserialize(&mut shape);
    (
        value.unwrap_or_else(|error| panic!("seed {seed}: {error}")),
        variants,
    )
}

impl Shape {
    /// What draws by this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            variant: None,
            variants: 0,
            field: "",
        }
    }

    /// Small numbers, the ends of the range, and anything between.
    fn number(&mut self, max: u128) -> u128 {
        let any = self.random.random::<u128>();
        match self.random.random_range(0..4) {
            0 => any % 4,
            1 => max - any % 2,
            _ if max == u128::MAX => any,
            _ => any % (max + 1),
        }
    }

    fn items(&mut self) -> u32 {
        self.random.random_range(0..=ITEMS_MAX)
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 12] = [
            'a',
            'Z',
            '0',
            ' ',
            '\n',
            '\0',
            '\u{1b}',
            '"',
            '\\',
            'ß',
            '\u{202e}',
            '\u{1f600}',
        ];
        if OBJECT_IDS.contains(&self.field) {
            let digits = [0, 40, 64][self.random.random_range(0..3)];
            let digit = |_| char::from_digit(self.random.random_range(0..16), 16);
            return (0..digits).filter_map(digit).collect();
        }
        let letters = match self.random.random_range(0..20) {
            // Beyond what an envelope holds.
            0 => 4_000,
            _ => self.random.random_range(0..30),
        };
        let letter = |_| LETTERS[self.random.random_range(0..LETTERS.len())];
        (0..letters).map(letter).collect()
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            // A signed number's bits are as good as any.
            let bits = self.number(<$type>::MAX as u128);
            let number = if self.random.random() { bits as $type } else { !(bits as $type) };
            visitor.$visit(number)
        })*
    };
}

macro_rules! unknown {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            let why = concat!(stringify!($method), ": the stored types do not ask for this");
            Err(serde::de::Error::custom(why))
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Shape {
    type Error = Error;

    numbers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128
    }
    unknown! {
        deserialize_any deserialize_char deserialize_bytes deserialize_byte_buf deserialize_f32
        deserialize_f64 deserialize_identifier deserialize_ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.random.random())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.random.random() {
            true => visitor.visit_some(self),
            false => visitor.visit_none(),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.items();
        visitor.visit_seq(Items { shape: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let left = u32::try_from(length).unwrap_or(u32::MAX);
        visitor.visit_seq(Items { shape: self, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.items();
        visitor.visit_map(Items { shape: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let field = self.field;
        let value = visitor.visit_seq(Fields {
            shape: &mut *self,
            left: fields,
        });
        self.field = field;
        value
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let count = u32::try_from(variants.len()).unwrap_or(u32::MAX);
        let variant = match self.variant.take() {
            Some(variant) => {
                self.variants = count;
                variant
            }
            None => self.random.random_range(0..count),
        };
        visitor.visit_enum(Variant {
            shape: self,
            variant,
        })
    }
}

/// So many values, one after the other.
struct Items<'a> {
    shape: &'a mut Shape,
    left: u32,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.shape).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.shape)
    }
}

/// The fields of a struct in their order, as bincode has them.
struct Fields<'a> {
    shape: &'a mut Shape,
    left: &'static [&'static str],
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let [field, left @ ..] = self.left else {
            return Ok(None);
        };
        self.left = left;
        self.shape.field = field;
        seed.deserialize(&mut *self.shape).map(Some)
    }
}

struct Variant<'a> {
    shape: &'a mut Shape,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: serde::de::value::U32Deserializer<Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.shape)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.shape.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.shape.deserialize_struct("", fields, visitor)
    }
}
