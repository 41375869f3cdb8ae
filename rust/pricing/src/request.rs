//! A CalculateDiscountRequest that is answered here: a cart, coupons by id, a mode, and no what-ifs.
use couponry_discount::{CartSpec, Line, Shipment};

use crate::fields::{each, once};

const MODE_APPLY_GIVEN: i64 = 1;
const MODE_BEST: i64 = 2;
const MAX_OWN_ID: i64 = (1 << 53) - 1;
const MAX_ID_BYTES: usize = 64;

pub(crate) struct Request<'r> {
    pub(crate) user_id: &'r str,
    pub(crate) cart: CartSpec,
    pub(crate) best: bool,
    /// As named, repeats among them.
    pub(crate) coupon_ids: Vec<i64>,
    pub(crate) minimum_payable: i64,
}

impl<'r> Request<'r> {
    pub(crate) fn read(message: &'r [u8], submitted_limit: usize) -> Option<Self> {
        let (mut user_id, mut cart, mut mode, mut minimum_payable) = ("", None, 0, 0);
        let mut coupon_ids = Vec::new();
        each(message, |field, value| {
            match field {
                1 => user_id = value.text()?,
                2 => once(&mut cart, read_cart(value.bytes()?)?)?,
                3 => mode = value.number()?,
                4 => coupon_ids.push(read_ref(value.bytes()?)?),
                5 => return None,
                6 => minimum_payable = value.number()?,
                _ => {}
            }
            Some(())
        })?;
        let best = match mode {
            MODE_APPLY_GIVEN => false,
            MODE_BEST => true,
            _ => return None,
        };
        let named = user_id.is_empty() && coupon_ids.is_empty() || (1..=MAX_ID_BYTES).contains(&user_id.len());
        (named && coupon_ids.len() <= submitted_limit).then_some(())?;
        Some(Self { user_id, cart: cart?, best, coupon_ids, minimum_payable })
    }
}

fn read_ref(message: &[u8]) -> Option<i64> {
    let mut coupon_id = 0;
    each(message, |field, value| {
        match field {
            1 => coupon_id = value.number()?,
            // Codes are counted, so that nobody guesses them.
            2 => return None,
            _ => {}
        }
        Some(())
    })?;
    (1..=MAX_OWN_ID).contains(&coupon_id).then_some(coupon_id)
}

fn read_cart(message: &[u8]) -> Option<CartSpec> {
    let mut cart = CartSpec::default();
    each(message, |field, value| {
        match field {
            1 => cart.currency = value.string()?,
            2 => cart.lines.push(read_line(value.bytes()?)?),
            3 => cart.shipments.push(read_shipment(value.bytes()?)?),
            4 => cart.order_total = Some(value.number()?),
            _ => {}
        }
        Some(())
    })?;
    Some(cart)
}

fn read_line(message: &[u8]) -> Option<Line> {
    let mut line = Line {
        line_id: String::new(),
        sku_id: String::new(),
        spu_id: None,
        category_ids: Vec::new(),
        shop_id: String::new(),
        quantity: 0,
        unit_price: 0,
        list_unit_price: None,
        not_discountable: false,
    };
    each(message, |field, value| {
        match field {
            1 => line.line_id = value.string()?,
            2 => line.sku_id = value.string()?,
            3 => line.spu_id = Some(value.string()?),
            4 => line.category_ids.push(value.string()?),
            5 => line.shop_id = value.string()?,
            6 => line.quantity = value.number()?,
            7 => line.unit_price = value.number()?,
            8 => line.list_unit_price = Some(value.number()?),
            9 => line.not_discountable = value.flag()?,
            _ => {}
        }
        Some(())
    })?;
    Some(line)
}

fn read_shipment(message: &[u8]) -> Option<Shipment> {
    let mut shipment = Shipment { shipment_id: String::new(), shop_id: String::new(), amount: 0 };
    each(message, |field, value| {
        match field {
            1 => shipment.shipment_id = value.string()?,
            2 => shipment.shop_id = value.string()?,
            3 => shipment.amount = value.number()?,
            _ => {}
        }
        Some(())
    })?;
    Some(shipment)
}
